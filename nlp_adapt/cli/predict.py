"""Label new rows with a saved model.

INPUT is a csv, tsv, jsonl, parquet, txt (one text a line) or CoNLL file, each also .gz, or - for
standard input. The output keeps the input's rows, order and columns. A row without text gets an
empty label; a row that cannot be read goes to OUT.rejected.jsonl with the reason. When the command
is interrupted, the same command goes on where it stopped. A file that exists already is refused
without --overwrite. --out - writes to standard output as it goes, and everything else to standard
error. --text labels what stands on the command line, and prints it.

--engine ray labels on every GPU or machine of a Ray cluster (RAY_ADDRESS; without one, on this
machine), with the same output.

A text classifier adds `label` and `score`. A tagger reads text or lists of words and adds `tags`,
`scores` and `entities` with character offsets, and the words or the text where the input lacks
them; it also writes CoNLL columns (.conll) and a page to look at (.html). Where the input has such
columns, the new ones are called `predicted_...`.

--domain_likeness adds, for the source and the target of the run, `distance_...` (Mahalanobis, in
the classifier's features) and `likeness_...`: the share of that domain's own texts that are at
least as far away, 1 for typical texts and 0 for texts unlike any of it.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import add_model_arguments, open_model, positive, refuse_existing
from nlp_adapt.data.reading.formats import FORMATS
from nlp_adapt.data.reading.rows import encodable
from nlp_adapt.errors import ConfigError
from nlp_adapt.escaping import in_lines
from nlp_adapt.launch import process_count
from nlp_adapt.names import counted
from nlp_adapt.prediction.files.writers import DEFAULT_PIPED, WRITERS, endings_for

HELP = "label new rows with a saved model"
DEFAULT_INPUT = "txt"  # of standard input
ROWS_AT_A_TIME = 4096
PIPE = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt predict`."""
    parser.add_argument("model", metavar="MODEL", help="run folder, model folder or Hub id")
    parser.add_argument(
        "input", nargs="?", metavar="INPUT", help="file to label, or - for standard input"
    )
    parser.add_argument(
        "--text", nargs="+", action="extend", metavar="TEXT", help="texts to label, without a file"
    )
    only_words = [ending for ending, writer in WRITERS.items() if writer.of_words]
    parser.add_argument(
        "--out",
        metavar="FILE",
        help=f"{_either(endings_for(words=False))} (taggers: also {_either(only_words)}), or - for "
        "standard output",
    )
    parser.add_argument(
        "--output_format",
        choices=_names([e for e, writer in WRITERS.items() if writer.in_pieces], DEFAULT_PIPED),
        help=f"format of standard output (default: {DEFAULT_PIPED})",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --out")
    parser.add_argument(
        "--text_column", metavar="COLUMN", help="column that holds the text (or the words)"
    )
    parser.add_argument("--encoding", metavar="NAME", help="encoding of the input (UTF-8)")
    parser.add_argument(
        "--input_format",
        choices=_names([form.endings[0] for form in FORMATS], DEFAULT_INPUT),
        default=DEFAULT_INPUT,
        help=f"format of standard input (default: {DEFAULT_INPUT}, one text a line)",
    )
    parser.add_argument(
        "--rejected",
        metavar="FILE",
        help="where rows go that cannot be read, as jsonl (default: OUT.rejected.jsonl, and "
        "standard error with --out -)",
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
        metavar="NUMBER",
        default=ROWS_AT_A_TIME,
        help=f"rows at a time, and lost at most when interrupted ({ROWS_AT_A_TIME})",
    )
    _add_engine(parser)
    add_model_arguments(parser, precision="auto")
    parser.add_argument("--json", action="store_true", help="print a summary as one JSON object")


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", choices=("ray",), help="label in the workers of Ray, also on other machines"
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="NUMBER",
        help="workers of --engine ray (default: one a GPU, or one a machine where there is none)",
    )


def _names(endings: Sequence[str], default: str) -> list[str]:
    """Names of formats, the default first."""
    return sorted((ending[1:] for ending in endings), key=lambda name: name != default)


def _either(endings: Sequence[str]) -> str:
    *names, last = (ending[1:] for ending in endings)
    return f"{', '.join(names)} or {last}"


def run(args: argparse.Namespace) -> int:
    """Write the labelled rows, then say what was done."""
    _check(args)
    if args.text:
        return _label_texts(args)
    from nlp_adapt.prediction.files.outputs import to_file, to_stdout

    piped = args.out == PIPE
    load, stdout = partial(open_model, args), sys.stdout
    with console.stdout_for_results(args.json or piped):
        summary = to_stdout(args, load, stdout) if piped else to_file(args, load)
    with console.stdout_for_results(piped):
        console.show(args, summary, lambda found: _said(args, found))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything is loaded."""
    _check_engine(args)
    if args.text:
        given = {"INPUT": args.input, "--out": args.out, "--domain_likeness": args.domain_likeness}
        if surplus := [name for name, value in given.items() if value]:
            raise ConfigError(f"--text prints its labels: leave out {' and '.join(surplus)}.")
        return
    if args.input is None:
        raise ConfigError("name a file to label, or - for standard input; or give --text.")
    if args.out is None:
        raise ConfigError("name the file to write: --out FILE, or --out - for standard output.")
    from nlp_adapt.prediction.files.parts import Parts

    out = Path(args.out)
    begun = Parts(out, out).folder.is_dir()  # by a command that was interrupted, which goes on
    if args.out != PIPE and not begun and not _same_file(args.out, args.input):
        refuse_existing(args.out, args.overwrite)

    if args.output_format is not None and args.out != PIPE:
        raise ConfigError("--output_format is for --out -: a file's ending says its format.")


def _check_engine(args: argparse.Namespace) -> None:
    if process_count() > 1:
        raise ConfigError("predict is one process: start it by itself, with --engine ray for more.")
    if args.engine is None:
        if args.workers is not None:
            raise ConfigError("--workers is an option of --engine ray.")
        return
    if args.text or args.out == PIPE:
        raise ConfigError(f"--engine {args.engine} writes a file: give INPUT and --out FILE.")
    if find_spec("ray") is None:
        raise ConfigError('--engine ray needs Ray: run `pip install "nlp-adapt[ray]"`.')


def _same_file(out: str, source: str) -> bool:
    """Whether both are one file, for which there is a sentence of its own."""
    return Path(out).exists() and Path(source).exists() and Path(out).samefile(source)


def _label_texts(args: argparse.Namespace) -> int:
    """Label what stands on the command line: a line for each text, or for each entity in it."""
    texts = [encodable(text) for text in args.text]
    with console.stdout_for_results(args.json):
        predictor = open_model(args)
        if predictor.task.units_are_words:
            from nlp_adapt.prediction.tagged_text import tag_texts

            answers = [one.to_dict() for one in tag_texts(predictor, texts)]
        else:
            found = predictor.predict(texts)
            answers = [{"text": text, **one} for text, one in zip(texts, found, strict=True)]
    console.show(args, answers, lambda shown: "\n".join(_answer_lines(shown, args.all_scores)))
    return 0


def _answer_lines(answers: list[dict[str, Any]], all_scores: bool) -> Iterator[str]:
    for answer in answers:
        if "label" in answer:
            yield f"{answer['label']}  {answer['score']:.3f}  {answer['text']}"
            for name, score in answer["scores"].items() if all_scores else ():
                yield f"    {score:.3f}  {name}"
            continue
        yield answer["text"] if answer["entities"] else f"{answer['text']}  (no entities)"
        for one in answer["entities"]:
            yield f"    {one['type']}  {one['score']:.3f}  {one['text']}"


def _said(args: argparse.Namespace, summary: dict[str, Any]) -> str:
    from nlp_adapt.data.doctor.finding import have

    out = "standard output" if args.out == PIPE else args.out
    counts = ", ".join(f"{count:,} {name}" for name, count in summary["labels"].items())
    lines = [f"{counted(summary['rows'], 'row')} written to {out}: {counts or 'no labels'}."]
    if summary["without_text"]:
        lines.append(f"{have(summary['without_text'])} no text and got no label.")
    if summary["rejected"]:
        place = args.rejected or ("standard error" if out != args.out else f"{out}.rejected.jsonl")
        lines.append(f"{have(summary['rejected'], 'was', 'were')} set aside in {place}.")
    return "\n".join(map(in_lines, lines))
