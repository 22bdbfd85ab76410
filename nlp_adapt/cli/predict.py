"""Label new rows with a saved model.

INPUT is a csv, tsv, jsonl, parquet or txt file (one text a line), each also .gz, or - for standard
input. The output keeps the input's rows, order and columns, and adds `label` and `score`
(`predicted_label` and `predicted_score` where the input has such columns). A row without text gets
an empty label.

A tagger reads plain text, lists of words or CoNLL columns and writes CoNLL columns (.conll), jsonl
with character offsets (.jsonl), or a page to look at (.html).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli import console
from nlp_adapt.cli.evaluate import add_model_arguments
from nlp_adapt.errors import DataError

if TYPE_CHECKING:
    from nlp_adapt.data.tables import Table

HELP = "label new rows with a saved model"
STDIN_FORMATS = ("txt", "csv", "tsv", "jsonl")
ROWS_AT_A_TIME = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt predict`."""
    parser.add_argument("model", metavar="MODEL", help="run folder, model folder or Hub id")
    parser.add_argument("input", metavar="INPUT", help="file to label, or - for standard input")
    parser.add_argument(
        "--out",
        required=True,
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
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print a summary as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the labelled rows, then say what was done."""
    with console.stdout_for_results(args.json):
        summary = _predict(args)
    if args.json:
        console.print_json(summary)
        return 0
    counts = ", ".join(f"{count:,} {name}" for name, count in summary["labels"].items())
    print(f"{summary['rows']:,} rows written to {args.out}: {counts or 'no labels'}.")
    if summary["without_text"]:
        print(f"{summary['without_text']:,} rows have no text and got no label.")
    return 0


def _predict(args: argparse.Namespace) -> dict[str, Any]:
    from nlp_adapt.cli import predict_words
    from nlp_adapt.cli.writing import SUFFIXES, check_format, check_output, write_table
    from nlp_adapt.inference import load_predictor

    out = Path(args.out)
    check_format(out, tuple(dict.fromkeys((*SUFFIXES, *predict_words.SUFFIXES))))
    check_output(out, None if args.input == "-" else Path(args.input))
    predictor = load_predictor(
        args.model, precision=args.precision, batch_size=args.batch_size, device=args.device
    )
    tagging = predictor.task.units_are_words
    check_format(out, predict_words.SUFFIXES if tagging else SUFFIXES)
    table = _read(args.input, args.input_format, predictor.task.name)
    if tagging:
        summary = predict_words.write_tagged(predictor, table, out, args.text_column)
    else:
        added, summary = label_texts(predictor, table, args.text_column)
        write_table(out, table, _without_clashes(added, table))
    return {"model": args.model, "out": args.out, "rows": len(table), **summary}


def label_texts(
    predictor: Any, table: Table, text_column: str | None
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Label one text a row.

    Returns:
        The new columns `label` and `score`, both None in rows without text; and a summary.
    """
    from tqdm import tqdm

    from nlp_adapt.data.examples import NO_LABELS, ReadOptions, read_examples

    options = ReadOptions(task=predictor.task.name, text_column=text_column, label_column=NO_LABELS)
    examples = read_examples(table, options)
    position = {row: index for index, row in enumerate(table.rows)}
    labels: list[str | None] = [None] * len(table)
    scores: list[float | None] = [None] * len(table)
    counts = dict.fromkeys(predictor.label_names, 0)
    bar = tqdm(total=len(examples.texts), unit="row", file=sys.stderr, disable=None, leave=False)
    with bar:
        for start in range(0, len(examples.texts), ROWS_AT_A_TIME):
            part = slice(start, start + ROWS_AT_A_TIME)
            predictions = predictor.predict(examples.texts[part])
            for row, prediction in zip(examples.rows[part], predictions, strict=True):
                labels[position[row]] = prediction["label"]
                scores[position[row]] = round(prediction["score"], 6)
                counts[prediction["label"]] += 1
            bar.update(len(predictions))
    summary = {"without_text": len(table) - len(examples.texts), "labels": counts}
    return {"label": labels, "score": scores}, summary


def _without_clashes(added: dict[str, list[Any]], table: Table) -> dict[str, list[Any]]:
    """The new columns under names that the input does not have."""
    if not any(name in table.columns for name in added):
        return added
    renamed = {f"predicted_{name}": values for name, values in added.items()}
    for name in renamed:
        if name in table.columns:
            raise DataError(
                f"{table.origin} already has a column '{name}': rename it, so that it is not lost."
            )
    return renamed


def _read(reference: str, stdin_format: str, task: str) -> Table:
    from nlp_adapt.data.files import read_file

    if reference != "-":
        return read_file(Path(reference), task)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"stdin.{stdin_format}"
        with path.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        try:
            return read_file(path, task)
        except DataError as error:
            raise DataError(str(error).replace(str(path), "standard input")) from None
