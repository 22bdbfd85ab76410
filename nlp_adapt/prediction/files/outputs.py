"""Running `nlp-adapt predict`: from the input to a file, in parts, or to standard output."""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.files import RowFile
from nlp_adapt.data.reading.formats import data_ending
from nlp_adapt.errors import ConfigError, DataError, RunError
from nlp_adapt.escaping import visible
from nlp_adapt.files import said_of, sha256, sole_writer
from nlp_adapt.names import counted
from nlp_adapt.prediction.files.labellers import TextLabeller, WordLabeller
from nlp_adapt.prediction.files.parts import Parts, copy_all, key_of, rejected_lines
from nlp_adapt.prediction.files.rows import LabelledRows
from nlp_adapt.prediction.files.writers import (
    DEFAULT_PIPED,
    check_output,
    endings_for,
    output_ending,
)
from nlp_adapt.prediction.likeness import load_likeness
from nlp_adapt.prediction.predictor import Predictor

# What the labelled rows depend on, besides the model and the input.
_PART_OPTIONS = (
    *("text_column", "all_scores", "domain_likeness"),
    *("precision", "max_length", "chunk_rows", "out", "input_format", "encoding"),
)


@dataclass(frozen=True)
class Input:
    """A file of rows to label, and what it is known by when an interrupted command goes on."""

    path: Path
    identity: list[Any]


def is_stream(reference: str) -> bool:
    """Whether the input can be read only once: standard input (-), or a named pipe."""
    path = Path(reference)
    return reference == "-" or (path.exists() and not path.is_file() and not path.is_dir())


@contextlib.contextmanager
def open_input(reference: str, stream_format: str) -> Iterator[Input]:
    """The input that the user names: a path, or - for standard input.

    A stream (standard input, a named pipe) is copied to a temporary file first, since its columns
    must be known before its rows. It is known by its content, and errors name the stream, not the
    copy. Where its name does not say the format, `stream_format` does.
    """
    path = Path(reference)
    if not is_stream(reference):
        stat = path.stat() if path.exists() else None
        known = [] if stat is None else [stat.st_size, stat.st_mtime_ns]
        yield Input(path, [str(path.resolve()), *known])
        return
    name = "standard input" if reference == "-" else str(path)
    ending = data_ending(path) or f".{stream_format}"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{'stdin' if reference == '-' else path.name}{ending}"
        with said_of(f"the folder for temporary files, {folder}"), copy.open("wb") as file:
            if reference == "-":
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                copy_all([path], file)
        try:
            yield Input(copy, [name, sha256(copy)])
        except DataError as error:
            message = str(error).replace(str(copy), name).replace(copy.name, name)
            raise DataError(message) from None


def to_file(args: argparse.Namespace, load: Callable[[], Predictor]) -> dict[str, Any]:
    """Label into parts, here or in the workers of an engine, and join them."""
    out = Path(args.out)
    output_ending(out, words=True)
    check_output(out, Path(args.input))
    rejected = Path(args.rejected or f"{out}.rejected.jsonl")
    check_output(rejected, Path(args.input), "--rejected")
    if rejected.resolve() == out.resolve():
        raise ConfigError("--rejected and --out name the same file: choose another name for one.")
    with _lock(out), open_input(args.input, args.input_format) as source:
        predictor = load()
        ending = output_ending(out, words=predictor.task.units_are_words)
        rows, parts = _rows(args, predictor, source, ending), Parts(out, rejected)
        _open_parts(args, predictor, source, parts)
        try:
            if args.engine == "ray":
                from nlp_adapt.prediction.files.ray_data import label_with_ray

                label_with_ray(rows, parts, load, args.workers)
            else:
                rows.run(parts)
            summary = rows.finish(parts)
        except DataError:  # the input or the format must change, and no part would be used again
            parts.discard()
            raise
    return {"model": args.model, "out": args.out, **summary}


def _open_parts(
    args: argparse.Namespace, predictor: Predictor, source: Input, parts: Parts
) -> None:
    """Find the parts that an interrupted command has left."""
    options = {name: getattr(args, name, None) for name in _PART_OPTIONS}
    config = getattr(getattr(predictor, "task_model", None), "config", None)
    options["commit"] = getattr(config, "_commit_hash", None)
    if done := parts.open(key_of(source.identity, args.model, options)):
        report = f"Going on after {counted(done, 'finished part')} of {args.chunk_rows:,} rows."
        print(report, file=sys.stderr)


def to_stdout(
    args: argparse.Namespace, load: Callable[[], Predictor], stdout: Any
) -> dict[str, Any]:
    """Write each chunk to standard output as soon as it is labelled."""
    chosen = args.output_format or DEFAULT_PIPED
    summaries, problem = [], None
    with open_input(args.input, args.input_format) as source, _rejected_stream(args) as aside:
        predictor = load()
        if f".{chosen}" not in endings_for(words=predictor.task.units_are_words):
            raise ConfigError(
                f"--output_format {chosen} is for taggers; {args.model} labels texts."
            )
        rows = _rows(args, predictor, source, f".{chosen}")
        for data, rejected, summary in rows.stream():
            _send(stdout, data)
            if rejected:
                aside.write(rejected_lines(rejected).decode())
                aside.flush()
                problem = problem or f"{rejected[0]['row']}: {rejected[0]['reason']}"
            summaries.append(summary)
        total = rows.total(iter(summaries))
        rows.require_rows(total, problem)
    return {"model": args.model, "out": args.out, **total}


def _rows(
    args: argparse.Namespace, predictor: Predictor, source: Input, ending: str
) -> LabelledRows:
    """The rows of the input with what the model adds, ready to be labelled."""
    kind = WordLabeller if predictor.task.units_are_words else TextLabeller
    labeller = kind(
        predictor,
        text_column=args.text_column,
        all_scores=args.all_scores,
        likeness=load_likeness(args.model) if args.domain_likeness else None,
    )
    return LabelledRows(
        labeller,
        RowFile(source.path, predictor.task.name, args.encoding),
        ending,
        args.chunk_rows,
        gzipped=args.out.lower().endswith(".gz"),
    )


@contextlib.contextmanager
def _rejected_stream(args: argparse.Namespace) -> Iterator[Any]:
    """Where `to_stdout` puts rows that were set aside."""
    if args.rejected is None:
        yield sys.stderr
        return
    path = Path(args.rejected)
    check_output(path, Path(args.input), "--rejected")
    with said_of(f"--rejected {path}"), path.open("w", encoding="utf-8") as file:
        yield file


def _send(stdout: Any, data: bytes) -> None:
    """Write to standard output; BrokenPipeError passes: nobody reads any more."""
    try:
        if stdout.isatty():  # people look at it; files and programs get the bytes as they are
            data = visible(data.decode("utf-8", "replace")).encode("utf-8", "replace")
        stdout.buffer.write(data)
        stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RunError(
            f"standard output: cannot be written ({error.strerror or error})."
        ) from error


def _lock(out: Path) -> contextlib.AbstractContextManager[Any]:
    """Held so that no other command writes the same output."""
    path = out.with_name(f".{out.name}.lock")
    return sole_writer(path, name=f"--out {out}", writer="command", place="file")
