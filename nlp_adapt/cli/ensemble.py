"""Make one model of several runs.

average: a folder that averages the models' probabilities. stack: a folder that weighs them, fitted
on labelled source rows (--data). soup: one plain model with averaged weights; with --data members
join only while the score on it does not fall, and with --target the label-free score decides.
A folder of the first two is opened by `nlp-adapt predict`, and distilled into one plain model by
`nlp-adapt train --method distillation --teacher FOLDER`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_adapt.cli import console
from nlp_adapt.errors import ConfigError, DataError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nlp_adapt.data.batches.encoded import EncodedRows
    from nlp_adapt.data.domain import Domain
    from nlp_adapt.prediction.predictor import Predictor

HELP = "make one model of several runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt ensemble`."""
    parser.add_argument("models", nargs="+", metavar="RUN", help="run or model folders")
    parser.add_argument(
        "--how", choices=("average", "stack", "soup"), default="average", help="how they are joined"
    )
    parser.add_argument("--output_dir", required=True, metavar="FOLDER", help="folder to write")
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="labelled source rows, not trained on; of its splits, validation before test",
    )
    parser.add_argument("--target", metavar="DATA", help="target text, for the label-free score")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Join the models and say what was written."""
    with console.stdout_for_results(args.json):
        result = _join(args)
    if args.json:
        console.print_json(result)
    else:
        members = ", ".join(result["members"])
        print(f"{args.output_dir} holds the {args.how} of {members}.")
    return 0


def _join(args: argparse.Namespace) -> dict[str, Any]:
    from nlp_adapt.prediction.ensembles import save_ensemble, soup, stack
    from nlp_adapt.prediction.opening import load_members

    out = Path(args.output_dir)
    if out.exists():
        raise RunError(f"{out}: is there already; choose another folder.")
    if args.how == "stack" and args.data is None:
        raise ConfigError("stacking needs labelled source rows: --data FILE.")
    members = load_members(args.models)
    chosen = list(range(len(members)))
    if args.how == "soup":
        model, chosen = soup(members, _score(args, members[0]))
        model.save_pretrained(out / "model")
        members[0].tokenizer.save_pretrained(out / "model")
    else:
        rows = _rows(args.data, members[0], labelled=True) if args.how == "stack" else None
        save_ensemble(out, args.models, None if rows is None else stack(members, rows))
    names = [args.models[index] for index in chosen]
    return {"folder": args.output_dir, "how": args.how, "members": names}


def _score(args: argparse.Namespace, first: Predictor) -> Callable[[Any], float] | None:
    """What decides which members join a soup: None lets all of them in."""
    from nlp_adapt.prediction.predictor import predict_logits
    from nlp_adapt.validators import VALIDATORS, Predictions

    if args.data is None:
        if args.target is not None:
            raise ConfigError("the label-free score also needs labelled source rows: --data FILE.")
        return None
    source = _rows(args.data, first, labelled=True)
    target = None if args.target is None else _rows(args.target, first, labelled=False)
    name = "source_risk" if target is None else "label_free"
    pad_id = first.tokenizer.pad_token_id or 0

    def score(model: Any) -> float:
        known = source.labels >= 0
        logits = predict_logits(model, source, pad_id=pad_id)[known]
        found = None if target is None else predict_logits(model, target, pad_id=pad_id)
        return VALIDATORS[name].score(Predictions(logits, source.labels[known], found))

    return score


def _rows(reference: str, predictor: Predictor, *, labelled: bool) -> EncodedRows:
    from nlp_adapt.data.loading import load_domain

    domain = load_domain(reference, task=predictor.task.name, test_fraction=0.0)
    if labelled:
        return held_out_rows(domain, predictor)
    return predictor.task.encode(domain.without_labels(), predictor.tokenizer, predictor.max_length)


def held_out_rows(domain: Domain, predictor: Predictor) -> EncodedRows:
    """Labelled rows of a domain: validation rows, else test rows, else all that it has.

    The training rows of a domain with other splits are those that the members know.

    Raises:
        DataError: If it has none.
    """
    domain = domain.with_labels(predictor.label_names)
    rows = next((part for part in (domain.validation, domain.test, domain.train) if part), None)
    if rows is None:
        raise DataError(f"{domain.reference or domain.name}: has no labelled rows.")
    return predictor.task.encode(rows, predictor.tokenizer, predictor.max_length)
