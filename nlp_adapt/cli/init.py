"""Look at your data and write a recipe for it, with a comment on each choice.

Reads both domains, finds the task, the labels and the lengths, and proposes a label map, a method
and sizes that fit. The recipe is a start to read and to change: `nlp-adapt train --config` runs it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli import console
from nlp_adapt.errors import DataError, ModelError, RunError
from nlp_adapt.names import TASKS

if TYPE_CHECKING:
    from nlp_adapt.data.domain import Domain

HELP = "write a commented recipe for your own data"
CLASSIFYING, TAGGING = TASKS
SHORTEST, LONGEST = 32, 512
SAMPLE = 2_000
COMMENT_COLUMN = 34


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt init`."""
    parser.add_argument("--source", required=True, help="labelled file, folder, Hub id or builtin:")
    parser.add_argument("--target", required=True, help="domain to adapt to, labelled or not")
    parser.add_argument("--target_test", help="labelled target rows to evaluate on")
    parser.add_argument("--task", choices=TASKS, help="default: what the source has labels for")
    parser.add_argument("--text_column", help="column that holds the text (or the words)")
    parser.add_argument("--label_column", help="column that holds the label (or the tags)")
    parser.add_argument("--model", default="builtin:minilm-l6", help="Hub id or local folder")
    parser.add_argument("--out", default="recipe.yaml", help="file to write (recipe.yaml)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file")
    parser.add_argument("--json", action="store_true", help="print what was chosen as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the recipe, and say what to do with it."""
    from nlp_adapt.prediction.files.writing import check_output, staged_output
    from nlp_adapt.recipe import load_recipe

    out = Path(args.out)
    check_output(out, None)
    if out.exists() and not args.overwrite:
        raise RunError(f"--out {out}: already exists; set --overwrite, or choose another name.")
    with console.stdout_for_results(args.json):
        lines = propose(args)
    with staged_output(out) as staged:
        staged.write_text(render(lines), encoding="utf-8")
        load_recipe(staged)
    if args.json:
        console.print_json({key: value for key, value, _ in lines if key})
    else:
        print(f"Wrote {out}. Read it, then run:\n")
        print(f"  nlp-adapt doctor --config {out}\n  nlp-adapt train --config {out}")
    return 0


Line = tuple[str, Any, str]  # key, value, comment; without a key the comment stands alone


def propose(args: argparse.Namespace) -> list[Line]:
    """The lines of a recipe that fits the data.

    Raises:
        DataError: A domain cannot be read, or the source has no labels.
    """
    source = _read_source(args)
    target = _read(args, args.target, source.task)
    held = None if args.target_test is None else _read(args, args.target_test, source.task)
    longest, measured = _length(args.model, source, target)
    lines: list[Line] = [
        ("", None, f"{source.name} to {target.name}, written by `nlp-adapt init`."),
        ("task", source.task, ""),
        ("model", args.model, "any Hub id or local folder; a larger one is often the best change"),
        ("source", args.source, _describe(source)),
        ("target", args.target, _describe(target)),
    ]
    if args.target_test:
        lines.append(("target_test", args.target_test, "only ever evaluated"))
    for key in ("text_column", "label_column"):
        if getattr(args, key):
            lines.append((key, getattr(args, key), ""))
    lines += _label_map(source, held or target)
    name = f"{source.name}-to-{target.name}".replace("/", "-").replace(":", "-")
    lines += [("output_dir", f"runs/{name}", ""), ("", None, "")]
    lines.append(("method", "auto", "for a first try; `nlp-adapt methods` lists the others"))
    lines += _sizes(source, longest, measured)
    if not (held or target).label_names:
        lines += [
            ("", None, ""),
            ("", None, "The target has no labels: nothing tells how good the result is there. A"),
            ("", None, "few hundred labelled rows are worth having: name them with target_test."),
        ]
    return lines + _more_labels(source, target)


def _more_labels(source: Domain, target: Domain) -> list[Line]:
    """What to write where there are more labels than those of one source."""
    each = "sentences" if source.task == TAGGING else "rows of each class"
    few = f"target_few_shot: 16 trains on 16 labelled {each} of the target"
    if target.train is None:
        few = "target_few_shot: FILE trains on a few labelled rows of the target"
    return [
        ("", None, ""),
        ("", None, "More labels? sources: {name: file, other: file}, in the place of source, and"),
        ("", None, f"{few}, if you release them."),
    ]


def render(lines: list[Line]) -> str:
    """The lines as YAML; comments are one line of plain text whatever the data holds."""
    from nlp_adapt.escaping import one_line
    from nlp_adapt.recipe import inline_yaml

    written = []
    for key, value, comment in lines:
        if not key:
            written.append(f"# {one_line(comment)}" if comment else "")
            continue
        text = f"{key}: {inline_yaml(value)}"
        written.append(f"{text:<{COMMENT_COLUMN}}  # {one_line(comment)}" if comment else text)
    return "\n".join(line.rstrip() for line in written) + "\n"


def _describe(domain: Domain) -> str:
    from nlp_adapt.data.label_spaces import label_counts

    labelled = sum(len(rows) for name, rows in domain.splits.items() if name != "unlabelled")
    raw = 0 if domain.unlabelled is None else len(domain.unlabelled)
    counts = label_counts(domain)
    listed = ", ".join(f"{count:,} {name}" for name, count in list(counts.items())[:8])
    parts = [f"{labelled:,} labelled rows: {listed}"] if labelled else []
    parts += [f"{raw:,} rows without labels"] if raw else []
    return "; ".join(parts)


def _label_map(source: Domain, target: Domain) -> list[Line]:
    from nlp_adapt.data.label_spaces import compare_labels, kinds_of
    from nlp_adapt.data.labels import propose_label_map

    space = compare_labels(source, target)
    if not space.target_only:
        return []
    proposal = propose_label_map(kinds_of(source), space.target_only)
    return [("label_map", proposal, "by name alone: CHECK it; ignore leaves rows or types out")]


def _sizes(source: Domain, longest: int, measured: str) -> list[Line]:
    rows = 0 if source.train is None else len(source.train)
    epochs = 5 if rows < 1_000 else 3 if rows < 20_000 else 1
    batch = 32 if longest <= 128 else 16 if longest <= 256 else 8
    why = "read in overlapping windows" if source.task == TAGGING else "cut"
    lines: list[Line] = [
        ("num_train_epochs", epochs, f"{rows:,} training rows"),
        ("per_device_train_batch_size", batch, "of each domain; lower it if memory runs out"),
        ("learning_rate", 1e-4 if source.task == TAGGING else 5e-5, "2e-5 for large models"),
        ("max_length", longest, f"{measured} 95% of the rows; longer ones are {why}"),
    ]
    if rows < 1_000:
        lines.append(("eval_strategy", "epoch", ""))
    return lines


def _length(model: str, source: Domain, target: Domain) -> tuple[int, str]:
    """Tokens that hold 95 % of the rows, rounded up, and how that was found out."""
    import numpy as np

    texts = [text for domain in (source, target) for text in _sample(domain)]
    try:
        from nlp_adapt.modeling.backbone import load_tokenizer

        tokenizer = load_tokenizer(model, words=source.task == TAGGING)
        joined = [" ".join(text) if isinstance(text, list) else text for text in texts]
        encoded = tokenizer(joined, verbose=False)["input_ids"]
        lengths, measured = [len(ids) for ids in encoded], "holds"
        limit = min(LONGEST, tokenizer.model_max_length)
    except ModelError:  # not here: words are a fair guess
        words = (text if isinstance(text, list) else text.split() for text in texts)
        lengths, measured, limit = [len(row) * 4 // 3 + 2 for row in words], "holds about", LONGEST
    needed = int(np.quantile(lengths, 0.95))
    return min(limit, max(SHORTEST, -(-needed // 16) * 16)), measured


def _sample(domain: Domain) -> list[Any]:
    rows = [text for part in domain.splits.values() for text in part[domain.text_column][:]]
    return rows[:: max(1, len(rows) // SAMPLE)]


def _read_source(args: argparse.Namespace) -> Domain:
    """The source, for the task that is named, or else for the one that it has labels for."""
    if args.task is not None:
        source = _read(args, args.source, args.task)
        if source.label_names is None:
            raise DataError(f"{source.name} has no labels: name their column with --label_column.")
        return source
    errors = []
    for task in TASKS:
        try:
            source = _read(args, args.source, task)
        except DataError as error:
            errors.append(error)
            continue
        if source.label_names is not None:
            return source
    if len(errors) == len(TASKS):
        raise errors[0]
    raise DataError(
        f"{args.source} has no labels that are recognised: name their column with --label_column, "
        "or the task with --task."
    )


def _read(args: argparse.Namespace, reference: str, task: str) -> Domain:
    from nlp_adapt.data.loading import load_domain

    return load_domain(
        reference,
        task=task,
        text_column=args.text_column,
        label_column=args.label_column,
        repair_tags=True,
    )
