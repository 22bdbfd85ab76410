"""Score a saved model on labelled rows: a run folder, a model folder or a Hub id.

Texts are read up to the model's own limit, 512 tokens at most, as `predict` does; a run with a
smaller max_length scored its table on shorter ones.

With --attack also under the worst small step on each row's word embeddings, which shows how sure
the answers are: the scores stand side by side.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli import console
from nlp_adapt.config import PRECISIONS
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.recipe import coerce

if TYPE_CHECKING:
    from datasets import Dataset

    from nlp_adapt.data.batches.encoded import EncodedRows
    from nlp_adapt.data.domain import Domain
    from nlp_adapt.prediction.attack import Attack
    from nlp_adapt.prediction.predictor import Predictor

HELP = "score a saved model on labelled rows"
SPLITS = ("test", "validation", "train")
ATTACK_OPTIONS = ("epsilon", "steps", "step_size")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt evaluate`."""
    parser.add_argument("model", metavar="RUN_OR_MODEL", help="run folder, model folder or Hub id")
    parser.add_argument("--data", required=True, help="labelled file, folder, Hub id or builtin:")
    parser.add_argument(
        "--split",
        choices=SPLITS,
        help="rows to score (default: test, or all labelled rows where there is no test split)",
    )
    parser.add_argument("--text_column", help="column that holds the text (or the words)")
    parser.add_argument("--label_column", help="column that holds the label (or the tags)")
    parser.add_argument("--label_map", default="{}", help="raw label -> label name, as YAML")
    parser.add_argument("--repair_tags", action="store_true", help="repair ill-formed tags")
    add_model_arguments(parser)
    _add_attack_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print metrics as one JSON object")


def _add_attack_arguments(parser: argparse.ArgumentParser) -> None:
    attack = parser.add_argument_group("attack")
    attack.add_argument(
        "--attack",
        choices=("fgm", "pgd"),
        help="also score under attack: one gradient step (fgm) or several (pgd)",
    )
    shares: dict[str, Any] = {"type": float, "metavar": "SHARE"}
    attack.add_argument(
        "--epsilon", **shares, help="size of the attack, as a share of the embeddings' norm (0.02)"
    )
    attack.add_argument("--steps", type=positive, help="gradient steps of pgd (10)")
    attack.add_argument(
        "--step_size", **shares, help="length of a step of pgd, as a share of epsilon (0.25)"
    )


def add_model_arguments(parser: argparse.ArgumentParser, precision: str = "fp32") -> None:
    """Add how to run a saved model; `precision` is the default of the option of that name."""
    parser.add_argument("--batch_size", type=positive, default=64, help="rows a batch (64)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=precision, help=f"number format ({precision})"
    )
    parser.add_argument("--device", help="cpu, cuda, ... (default: a GPU where there is one)")


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def run(args: argparse.Namespace) -> int:
    """Print the metrics of the model on the rows."""
    label_map = coerce("label_map", args.label_map, dict[str, str])
    attack = _attack(args)
    with console.stdout_for_results(args.json):
        report = _evaluate(args, label_map, attack)
    if args.json:
        console.print_json(report)
    else:
        from nlp_adapt.reporting.evaluation import render_evaluation

        print(render_evaluation(report))
    return 0


def _attack(args: argparse.Namespace) -> Attack | None:
    """The attack that the options describe, checked before anything is loaded."""
    given = {name: getattr(args, name) for name in ATTACK_OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    if args.attack is None:
        if given:
            raise ConfigError(f"--{next(iter(given))} needs --attack fgm or --attack pgd.")
        return None
    pgd_only = [name for name in given if name != "epsilon"]
    if args.attack == "fgm" and pgd_only:
        raise ConfigError(f"--{pgd_only[0]} is an option of --attack pgd: fgm takes one step.")
    from nlp_adapt.prediction.attack import Attack

    return Attack(kind=args.attack, **given)


def _evaluate(
    args: argparse.Namespace, label_map: dict[str, str], attack: Attack | None
) -> dict[str, Any]:
    from nlp_adapt.data.loading import load_domain
    from nlp_adapt.prediction.opening import load_predictor

    predictor = load_predictor(
        args.model, precision=args.precision, batch_size=args.batch_size, device=args.device
    )
    domain = load_domain(
        args.data,
        task=predictor.task.name,
        text_column=args.text_column,
        label_column=args.label_column,
        label_map=label_map or None,
        test_fraction=0.0,
        repair_tags=args.repair_tags,
    )
    for line in domain.notes:
        console.note(line)
    split, rows = _labelled_rows(domain.with_labels(predictor.label_names), args.split)
    encoded = predictor.task.encode(rows, predictor.tokenizer, predictor.max_length)
    under_attack = {}
    if attack is not None:
        under_attack["attack"] = _under_attack(predictor, attack, encoded, rows)
    return {
        "model": args.model,
        "task": predictor.task.name,
        "data": domain.name,
        "split": split,
        "rows": len(rows),
        "metrics": predictor.task.metrics(predictor.logits(encoded), encoded, rows),
        **under_attack,
    }


def _under_attack(
    predictor: Predictor, attack: Attack, encoded: EncodedRows, rows: Dataset
) -> dict[str, Any]:
    from nlp_adapt.prediction.attack import attacked_logits, damage

    attacked = attacked_logits(predictor, encoded, attack)
    return {
        **attack.to_dict(),
        **damage(predictor.logits(encoded), attacked, encoded.labels),
        "metrics": predictor.task.metrics(attacked, encoded, rows),
    }


def _labelled_rows(domain: Domain, wanted: str | None) -> tuple[str, Dataset]:
    found = {name: rows for name, rows in domain.splits.items() if name in SPLITS and len(rows)}
    if not found:
        raise DataError(
            f"{domain.name} has no labelled rows to score: name its label column with "
            "--label_column, or give other data."
        )
    if wanted is not None and wanted not in found:
        raise DataError(
            f"{domain.name} has no labelled {wanted} split: choose --split {' or '.join(found)}."
        )
    if wanted is not None or "test" in found:
        split = wanted or "test"
        return split, found[split]
    if len(found) == 1:
        return next(iter(found.items()))
    from datasets import concatenate_datasets

    return " + ".join(found), concatenate_datasets(list(found.values()))
