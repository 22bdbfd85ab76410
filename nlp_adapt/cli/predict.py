"""Label new rows with a saved model.

INPUT is a csv, tsv, jsonl, parquet or txt file (one text a line), each also .gz, or - for standard
input. The output keeps the input's rows, order and columns, and adds `label` and `score`
(`predicted_label` and `predicted_score` where the input has such columns). A row without text gets
an empty label; a row that cannot be read goes to OUT.rejected.jsonl with the reason. When the
command is interrupted, the same command goes on where it stopped. Started with torchrun or
accelerate launch, each process labels its share.

--domain_likeness adds, for the source and the target of the run, `distance_...` (Mahalanobis, in
the classifier's features) and `likeness_...`: the share of that domain's own texts that are at
least as far away, 1 for typical texts and 0 for texts unlike any of it.

A tagger reads plain text, lists of words or CoNLL columns and writes CoNLL columns (.conll), jsonl
with character offsets (.jsonl), or a page to look at (.html).
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli import console
from nlp_adapt.cli.evaluate import add_model_arguments, positive
from nlp_adapt.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nlp_adapt.inference import Predictor

HELP = "label new rows with a saved model"
STDIN_FORMATS = ("txt", "csv", "tsv", "jsonl")
ROWS_AT_A_TIME = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt predict`."""
    parser.add_argument("model", metavar="MODEL", help="run folder, model folder or Hub id")
    parser.add_argument("input", metavar="INPUT", help="file to label, or - for standard input")
    add_output_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print a summary as one JSON object")


def add_output_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add what says which file is written, and how the input is read."""
    parser.add_argument(
        "--out",
        required=required,
        metavar="FILE",
        help="csv, tsv, jsonl or parquet; taggers: conll, jsonl or html",
    )
    parser.add_argument("--text_column", help="column that holds the text")
    parser.add_argument(
        "--input_format",
        choices=STDIN_FORMATS,
        default="txt",
        help="format of standard input (default: txt, one text a line)",
    )
    parser.add_argument("--all_scores", action="store_true", help="add the score of every label")
    parser.add_argument(
        "--domain_likeness",
        action="store_true",
        help="add how far each text is from both training domains",
    )
    parser.add_argument(
        "--chunk_rows",
        type=positive,
        default=ROWS_AT_A_TIME,
        help=f"rows at a time, and lost at most when interrupted ({ROWS_AT_A_TIME})",
    )


def run(args: argparse.Namespace) -> int:
    """Write the labelled rows, then say what was done."""

    def load() -> Predictor:
        from nlp_adapt.inference import load_predictor

        return load_predictor(
            args.model, precision=args.precision, batch_size=args.batch_size, device=args.device
        )

    return label_file(args, load)


def label_file(args: argparse.Namespace, load: Callable[[], Predictor]) -> int:
    """Label the file that `args` names with the model that `load` opens."""
    with console.stdout_for_results(args.json):
        summary = _predict(args, load)
    if not console.is_main_process():
        return 0
    if args.json:
        console.print_json(summary)
        return 0
    counts = ", ".join(f"{count:,} {name}" for name, count in summary["labels"].items())
    print(f"{summary['rows']:,} rows written to {args.out}: {counts or 'no labels'}.")
    if summary["without_text"]:
        print(f"{summary['without_text']:,} rows have no text and got no label.")
    if summary["rejected"]:
        print(f"{summary['rejected']:,} rows were set aside in {args.out}.rejected.jsonl.")
    return 0


def _predict(args: argparse.Namespace, load: Callable[[], Predictor]) -> dict[str, Any]:
    from nlp_adapt.cli import predict_words
    from nlp_adapt.cli.writing import SUFFIXES, check_format, check_output

    out = Path(args.out)
    check_format(out, tuple(dict.fromkeys((*SUFFIXES, *predict_words.SUFFIXES))))
    check_output(out, None if args.input == "-" else Path(args.input))
    if console.processes() > 1:
        _connect_processes()
    predictor = load()
    tagging = predictor.task.units_are_words
    check_format(out, predict_words.SUFFIXES if tagging else SUFFIXES)
    with _input_file(args.input, args.input_format) as path:
        summary = (_tag if tagging else _label)(args, predictor, path, out)
    return {"model": args.model, "out": args.out, **summary}


def _tag(args: argparse.Namespace, predictor: Predictor, path: Path, out: Path) -> dict[str, Any]:
    """Tag the words of every row."""
    from nlp_adapt.cli import predict_words
    from nlp_adapt.data.files import read_file

    for option in ("all_scores", "domain_likeness"):
        if getattr(args, option):
            raise ConfigError(f"--{option} is for text classifiers, and {args.model} is a tagger.")
    table = read_file(path, predictor.task.name)
    summary = predict_words.write_tagged(predictor, table, out, args.text_column)
    return {"rows": len(table), "rejected": 0, **summary}


def _label(args: argparse.Namespace, predictor: Predictor, path: Path, out: Path) -> dict[str, Any]:
    """Label the text of every row, in each of the launched processes its share."""
    from nlp_adapt.cli.parts import Parts
    from nlp_adapt.cli.predict_texts import LabelRows, key_of
    from nlp_adapt.data.chunks import RowFile
    from nlp_adapt.likeness import load_likeness

    launched = console.processes() > 1
    if launched and args.input == "-":
        raise ConfigError("standard input can be read by one process only: give a file.")
    rows = LabelRows(
        predictor,
        RowFile(path, predictor.task.name),
        out,
        text_column=args.text_column,
        all_scores=args.all_scores,
        likeness=load_likeness(args.model) if args.domain_likeness else None,
        process=(console.process(), console.processes()),
        chunk_rows=args.chunk_rows,
    )
    rows.prepare()
    parts = Parts(out)
    if console.is_main_process():
        options = {name: getattr(args, name, None) for name in _PART_OPTIONS}
        config = getattr(getattr(predictor, "task_model", None), "config", None)
        options["commit"] = getattr(config, "_commit_hash", None)
        done = parts.open(key_of(rows.rows, args.model, options))
        if done:
            console.note(f"Going on after {done:,} finished parts of {args.chunk_rows:,} rows.")
    _wait_for_all(launched)
    try:
        rows.run(parts)
        _wait_for_all(launched)
        return rows.finish(parts) if console.is_main_process() else {}
    except DataError:  # the input or the format must change, and no part would be used again
        if not launched:
            parts.discard()
        raise


# What the labelled rows depend on, besides the model and the input.
_PART_OPTIONS = (
    *("text_column", "all_scores", "domain_likeness", "precision", "chunk_rows", "domain", "out"),
)


def _connect_processes() -> None:
    """Let launched processes wait for each other, each with a device of its own."""
    import torch
    from accelerate import PartialState

    # Without an accelerator Accelerate must be told so, or each process would stand alone.
    cpu = not (torch.cuda.is_available() or torch.backends.mps.is_available())
    atexit.register(PartialState(cpu=cpu).destroy_process_group)


def _wait_for_all(launched: bool) -> None:
    if launched:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


@contextlib.contextmanager
def _input_file(reference: str, stdin_format: str) -> Iterator[Path]:
    """The input as a file; standard input is copied to one."""
    if reference != "-":
        yield Path(reference)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"stdin.{stdin_format}"
        with path.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        try:
            yield path
        except DataError as error:
            message = str(error).replace(str(path), "standard input")
            raise DataError(message.replace(path.name, "standard input")) from None
