"""Score a saved model on labelled rows: a run folder, a model folder or a Hub id.

Texts are read up to the run's max_length, as in its table and by `predict`.

With --attack also under the worst small step on each row's word embeddings, which shows how sure
the answers are: the scores stand side by side.
"""

import argparse
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import add_model_arguments, add_reading_arguments, open_model, positive
from nlp_adapt.errors import ConfigError
from nlp_adapt.options import coerce
from nlp_adapt.recipe import READING

if TYPE_CHECKING:
    from nlp_adapt.prediction.attack import Attack

HELP = "score a saved model on labelled rows"
ATTACK_OPTIONS = ("epsilon", "steps", "step_size")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt evaluate`."""
    parser.add_argument("model", metavar="RUN_OR_MODEL", help="run folder, model folder or Hub id")
    parser.add_argument(
        "--data", required=True, metavar="DATA", help="labelled file, folder, Hub id or builtin:"
    )
    parser.add_argument(
        "--split",
        choices=("test", "validation", "train"),
        help="rows to score (default: test, or all labelled rows where there is no test split)",
    )
    add_reading_arguments(parser)
    parser.add_argument(
        "--label_map",
        metavar="YAML",
        default="{}",
        help="raw label -> label name, as YAML (default: that of the run)",
    )
    parser.add_argument("--repair_tags", action="store_true", help="repair ill-formed tags")
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print metrics as one JSON object")
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
    attack.add_argument(
        "--steps", type=positive, metavar="NUMBER", help="gradient steps of pgd (10)"
    )
    attack.add_argument(
        "--step_size", **shares, help="length of a step of pgd, as a share of epsilon (0.25)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the metrics of the model on the rows."""
    label_map = coerce("label_map", args.label_map, dict[str, str])
    attack = _attack(args)
    with console.stdout_for_results(args.json):
        from nlp_adapt.data.loading import load_domain
        from nlp_adapt.prediction.evaluation import evaluate
        from nlp_adapt.reporting.results import label_map_of
        from nlp_adapt.reporting.table import render_evaluation

        predictor = open_model(args)
        domain = load_domain(
            args.data,
            task=predictor.task.name,
            **{name: getattr(args, name) for name in READING},
            label_map=label_map or label_map_of(args.model),
            test_fraction=0.0,
            repair_tags=args.repair_tags,
        )
        for line in domain.notes:
            console.note(line)
        scores = evaluate(predictor, domain, args.split, attack)
    console.show(args, {"model": args.model, **scores}, render_evaluation)
    return 0


def _attack(args: argparse.Namespace) -> "Attack | None":
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
