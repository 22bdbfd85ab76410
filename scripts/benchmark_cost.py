"""Measure how cost grows with rows, lengths, layers and processes, against arithmetic and ceilings.

    python scripts/benchmark_cost.py                      # the whole grid, about half an hour of one core
    python scripts/benchmark_cost.py --points 10 --rounds 2 --steps 1      # a part of it
    python scripts/benchmark_cost.py --foretell layers=12 hidden=768 length=128 rows=16 steps=1000

Encoders have random weights and the right shape: a few real training steps of `dann` are timed between
measurements of the machine's own ceilings, a product of matrices and a copy. Each measurement runs in a
process of its own and is a line in `<out>.runs.jsonl`; what is there from this code is not measured
again. On a CPU the clock is processor time, so that a machine that others use too tells the same. The
page, and its plots where matplotlib is installed (the extra `plots`), are written from the lines;
`--report` only does that. `--points` takes the first of the grid, which stands in the order of what
tells most. A part of the grid is spread over all of it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from benchmark_runs import append, code_hash, read_lines
from cost import measure, page, plots, predicting, rows
from cost.points import GRID, TOY, Point
from cost.running import MeasurementError, forked, launched
from speed.timing import load, machine

from nlp_adapt import AdaptationError
from nlp_adapt.cli.console import quiet_libraries

ROWS = (1_000, 10_000, 100_000)
TOY_CEILING = {"size": 64, "mib": 1, "seconds": 0.002}
Work = Callable[[], dict[str, Any]]


def main() -> None:
    """Measure what is missing, a line each, and write the page."""
    args = parse_arguments()
    runs_file = args.out.with_suffix(".runs.jsonl")
    if args.foretell:
        print(page.foretold_run(read_lines(runs_file), args.foretell))
        return
    code = code_hash()
    done = [
        json.dumps([one["part"], one["what"]])
        for one in read_lines(runs_file)
        if one["code"] == code
    ]
    for part, what, work in () if args.report else jobs(args):
        if json.dumps([part, what]) in done:
            continue
        before, found = load(), work()
        line = {"part": part, "what": what, **found, "code": code, "seed": args.seed,
                "command": shlex.join(["python", "scripts/benchmark_cost.py", *sys.argv[1:]]),
                "date": f"{datetime.date.today():%Y-%m-%d}", "torch": torch.__version__,
                "machine": machine(torch.device("cuda" if found.get("device") == "cuda" else "cpu")),
                "load": [round(before, 1), round(load(), 1)]}  # fmt: skip
        append(runs_file, [line])
        print(f"{part} {json.dumps(what)}", file=sys.stderr)
    lines = read_lines(runs_file)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    drawn = plots.draw(lines, args.out)
    args.out.write_text(page.report(lines, drawn, args.out), encoding="utf-8")
    print(args.out)


def jobs(args: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any], Work]]:
    """What there is to measure: its part, what tells it from others, and the work."""
    toy = {"ceiling": TOY_CEILING} if args.toy else {}
    spec = {"tokenizer": args.tokenizer, "seed": args.seed, "warm_up": args.warm_up,
            "rounds": args.rounds, "steps": args.steps, "profile": args.profile, **toy}  # fmt: skip
    if "steps" in args.only:
        for point in (TOY if args.toy else GRID)[: args.points]:
            yield "steps", point.key(), lambda point=point: steps_of(point, spec)
    if "rows" in args.only:
        for count in args.rows:
            yield (
                "rows",
                {"rows": count},
                lambda count=count: forked(
                    rows.measure_rows, count, args.tokenizer, args.seed, args.batches
                ),
            )
    if "prediction" in args.only:
        settings = {"model": args.model, "source": args.source, "target": args.target,
                    "seed": args.seed, "train_steps": args.train_steps, "texts": args.texts,
                    "rounds": args.rounds, "max_length": 64, **toy}  # fmt: skip
        what = {"model": args.model, "target": args.target, "texts": args.texts,
                "train_steps": args.train_steps}  # fmt: skip
        yield "prediction", what, lambda: forked(predicting.measure_prediction, settings)


def steps_of(point: Point, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Time, memory and profile of the steps of a point."""
    given = {
        **spec,
        "point": asdict(point),
        "profile": spec["profile"] if point.processes == 1 else 0,
    }
    if point.processes > 1 or torch.cuda.is_available():
        found = launched(given, point.processes, point.threads)
    else:
        found = forked(measure.measured_here, given)
    return {"point": asdict(replace(point, precision=found["precision"])), **found}


def parse_arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = ("steps", "rows", "prediction")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), metavar="PART",
                        help=f"parts to measure: {', '.join(parts)}")  # fmt: skip
    parser.add_argument("--points", type=int, help="so many points of the grid; default: all")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), help="of each domain")
    parser.add_argument("--batches", type=int, default=256, help="rows: batches to make")
    parser.add_argument("--warm_up", type=int, default=3, help="steps beforehand")
    parser.add_argument("--rounds", type=int, default=5, help="each between two ceilings")
    parser.add_argument("--steps", type=int, default=4, help="steps in a round")
    parser.add_argument("--profile", type=int, default=3, help="steps under the profiler; or 0")
    parser.add_argument("--tokenizer", default="builtin:minilm-l6")
    parser.add_argument("--model", default="builtin:minilm-l6", help="prediction: what is trained")
    parser.add_argument("--source", default="builtin:snippets/movie")
    parser.add_argument("--target", default="builtin:snippets/tweets")
    parser.add_argument("--train_steps", type=int, default=150, help="prediction: before it")
    parser.add_argument("--texts", type=int, default=600, help="prediction: texts in a round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--toy", action="store_true", help="tiny encoders, to try the script")
    parser.add_argument("--foretell", nargs="+", metavar="KEY=VALUE",
                        help="measure nothing: what a run of such a point would take")  # fmt: skip
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/cost.md"))
    return parser.parse_args()


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except (AdaptationError, MeasurementError, ValueError) as error:
        sys.exit(f"benchmark_cost: {error}")
