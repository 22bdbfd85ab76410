"""The page of `benchmark_cost.py`, from its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speed.timing import table

from cost import arithmetic
from cost.fit import PARTS, PRODUCTS, Foretold, errors, fit, fitted_and_held_out, foretell
from cost.losses import losses_section, share, title_of
from cost.paper import H100, RUNS, on_paper
from cost.points import Point

Line = Mapping[str, Any]
INTRODUCTION = """\
# How cost grows

Made by `python scripts/benchmark_cost.py`; `--points`, `--rounds` and `--steps` take a part of it, and \
`--report` writes this page from the lines in `{lines}`. Steps are those of `dann` as a run takes them, \
with AdamW in float32, on encoders of BERT's kind with random weights; `builtin:minilm-l6` has 6 layers \
384 wide, BERT-base 12 of 768, BERT-large 24 of 1,024. All rows of a point have one length, so nothing is \
padding. The ceilings are a product of two 2,048 x 2,048 matrices in the step's own number format and a \
copy of 128 MiB, measured before and after each round of steps.

**The clock** on a CPU is processor time: what other programs take of a shared machine is not counted, \
and with one thread on an empty machine it is the time on the wall. It counts no wait of one process for \
another. Caches and memory are shared all the same, which slows steps and ceilings together.
"""


def newest(lines: Sequence[Line], part: str) -> list[Line]:
    """The last line of each thing that was measured."""
    found = {str(line["what"]): line for line in lines if line["part"] == part}
    return [*found.values()]


def report(lines: Sequence[Line], drawn: Mapping[str, str], page: Path) -> str:
    """The whole page.

    Args:
        lines: All that was measured.
        drawn: Plots by what they show.
        page: Where it will be.
    """
    if not lines:
        return (
            "# How cost grows\n\nNothing is measured yet: run `python scripts/benchmark_cost.py`.\n"
        )
    steps = newest(lines, "steps")
    parts = [INTRODUCTION.format(lines=page.with_suffix(".runs.jsonl").name)]
    if steps:
        parts += [
            _steps(steps),
            _processes(steps),
            losses_section(steps, drawn),
            _fitted(steps, drawn),
        ]
    if rows := newest(lines, "rows"):
        parts.append(_rows(rows))
    if predictions := newest(lines, "prediction"):
        parts.append(_prediction(predictions[-1]))
    parts += [_on_paper(), _made(lines)]
    return "\n".join(filter(None, parts))


def _steps(steps: Sequence[Line]) -> str:
    heads = ["layers", "width", "tokens a row", "rows a step", "format", "ms a step", "tokens / s",
             "MFLOP a token", "ceiling, GFLOP/s", "share of it", "peak, MiB",
             "of it weights and AdamW, MiB"]  # fmt: skip
    rows = []
    for line in steps:
        point = Point.of(line["point"])
        if point.processes > 1:
            continue
        rows.append(
            [f"{point.layers}", f"{point.hidden}", f"{point.length}", f"{2 * point.rows}",
             line["precision"], f"{1000 * line['seconds']:,.0f}",
             f"{line['tokens'] / line['seconds']:,.0f}",
             f"{arithmetic.flops_a_token(point) / 1e6:,.0f}",
             f"{line['ceiling_flops'] / 1e9:,.0f}", f"{share(line):.0%}",
             f"{line['peak_mib'] - line['before_mib']:,.0f}",
             f"{arithmetic.STATE_BYTES * line['parameters'] / 2**20:,.0f}"]
        )  # fmt: skip
    return (
        f"## Training steps\n\n{table(heads, rows)}\nOne process of one thread. Operations are the "
        "arithmetic of the encoder's products, forward and twice that backward; the share is theirs "
        "over the step's time, against the ceiling. The peak leaves out what the program took before "
        "the model; the last column is 16 bytes for each weight.\n"
    )


def _processes(steps: Sequence[Line]) -> str:
    alone = {_shape(line): line for line in steps if line["point"]["processes"] == 1}
    rows = []
    for line in steps:
        point = Point.of(line["point"])
        if point.processes == 1 or (one := alone.get(_shape(line))) is None:
            continue
        own, other = (each["seconds"] * each["ceiling_flops"] for each in (one, line))
        rows.append(
            [f"{point.layers} x {point.hidden}", f"{point.processes}",
             f"{1000 * one['seconds']:,.0f}", f"{1000 * line['seconds']:,.0f}",
             f"{own / other:.0%}", f"{arithmetic.exchanged_bytes(point) / 2**20:,.0f}",
             f"{line['tokens'] / line['wall']:,.0f}"]
        )  # fmt: skip
    if not rows:
        return ""
    heads = ["encoder", "processes", "ms a step, one", "ms a step, each of several",
             "efficiency", "MiB sent by each", "tokens / s of all, on the wall"]  # fmt: skip
    return (
        f"## Processes\n\n{table(heads, rows)}\nEach process keeps its own batch (weak scaling). "
        "Efficiency is the share of one process's speed that each keeps, both measured in ceilings of "
        "their own moment; what gloo's threads add is in it, waiting is not. Tokens on the wall are "
        "those of a shared machine.\n"
    )


def _shape(line: Line) -> tuple[Any, ...]:
    names = ("layers", "hidden", "length", "rows")
    return (*(line["point"][name] for name in names), line["precision"])


def _fitted(steps: Sequence[Line], drawn: Mapping[str, str]) -> str:
    fitted, held_out = fitted_and_held_out(steps)
    try:
        model = fit(fitted)
    except ValueError as error:
        return f"## A model of the cost\n\nNot fitted: {error}\n"
    heads = ["part of a step", "at the ceiling it would be", "factor"]
    units = dict.fromkeys(PARTS, "1") | {PRODUCTS: "operations / ceiling of a product"}
    units |= {
        "token states": "4 bytes x tokens x width x layers / bandwidth",
        "attention scores": "4 bytes x tokens x row length x heads x layers / bandwidth",
        "weights": f"{arithmetic.OPTIMIZER_BYTES} bytes x weights / bandwidth",
        "each layer, whatever its size": "1 ms x layers",
    }
    rows = [[name, units[name], f"{model.factors[name]:.2f}"] for name in PARTS]
    said = [_said("points that it was fitted to", foretell(model, fitted))]
    tested = foretell(model, held_out)
    if tested:
        said.append(_said("points **held out**", tested))
    named = [
        [
            title_of(line),
            f"{1000 * one.measured:,.0f}",
            f"{1000 * one.seconds:,.0f}",
            f"{one.error:+.0%}",
        ]
        for line, one in zip(held_out, tested, strict=True)
    ]
    heads_of_test = ["held out", "ms measured", "ms foretold", "error"]
    picture = (
        f"\n![Foretold against measured]({drawn['foretold']})\n" if "foretold" in drawn else ""
    )
    return (
        f"## A model of the cost\n\nA step is foretold as a sum of five times (`scripts/cost/fit.py`), "
        f"none negative and the products no faster than their ceiling:\n\n{table(heads, rows)}\nIts error is {' and '.join(said)}.\n\n"
        f"{table(heads_of_test, named) if named else ''}{picture}\n"
        "`--foretell layers=12 hidden=768 length=128 rows=16 steps=1000` says what a run of so many steps "
        "takes at this machine's ceilings. The model knows processors of this kind in the usual format "
        "alone; a run also scores, saves and trains its twin.\n"
    )


def _said(what: str, found: Sequence[Foretold]) -> str:
    middle, most = errors(found)
    return f"{middle:.0%} in the median and {most:.0%} at most on the {what} ({len(found)})"


def _rows(lines: Sequence[Line]) -> str:
    heads = ["rows a domain", "files, MiB", "reading, s", "tokenising, s", "s for 100,000 rows",
             "tokens / s, tokenised", "ms a batch, paired", "peak, MiB", "of it above the start"]  # fmt: skip
    rows = []
    for one in sorted(lines, key=lambda line: line["rows"]):
        before = one["reading"] + one["tokenising"]
        rows.append(
            [f"{one['rows']:,}", f"{one['file_mib']:.1f}", f"{one['reading']:.2f}",
             f"{one['tokenising']:.2f}", f"{before * 100_000 / one['rows']:.1f}",
             f"{one['tokens'] / one['tokenising']:,.0f}",
             f"{1000 * one['pairing'] / one['batches']:.2f}", f"{one['peak_mib']:,.0f}",
             f"{one['peak_mib'] - one['before_mib']:,.0f}"]
        )  # fmt: skip
    return (
        f"## Rows\n\n{table(heads, rows)}\nThe data side alone, measured at each size: two jsonl files of "
        "random whole words, half of them longer than 20, read with `load_domain`, tokenised by the "
        "task, and dealt into batches of 32 rows of each domain. **Steps of 100,000 rows were not "
        "taken:** with the rows, a run's steps grow in proportion, at the times above.\n"
    )


def _prediction(line: Line) -> str:
    heads = ["labels from", "texts / s", "against PyTorch, fp32", "share of its ceiling",
             "same label", "accuracy"]  # fmt: skip
    first = line["ways"]["PyTorch, fp32"]["texts_a_second"]
    rows = []
    for name, one in line["ways"].items():
        ceiling = line["ceilings"].get(name.rpartition(" ")[2])
        reached = one["texts_a_second"] * line["flops_a_text"]
        rows.append(
            [name, f"{one['texts_a_second']:,.0f}", f"{one['texts_a_second'] / first:.2f}",
             f"{reached / ceiling:.0%}" if ceiling else "", f"{one['same_label']:.1%}",
             f"{one['accuracy']:.1%}"]
        )  # fmt: skip
    missing = f" ONNX was left out: {line['missing']}" if line["missing"] else ""
    return (
        f"## Prediction\n\n{table(heads, rows)}\n`{line['what']['model']}` after {line['train_steps']} "
        f"steps on the source alone, {line['texts']:,} test texts of `{line['what']['target']}` of "
        f"{line['tokens'] / line['texts']:.0f} tokens in the mean, in batches sorted by length, one "
        f"thread; tokenising is left out. Labels are compared with those of PyTorch in fp32.{missing}\n"
    )


def _on_paper() -> str:
    rows = []
    for point in RUNS:
        for cards in (1, 8):
            one = on_paper(point, cards)
            bound = "host" if one.host > one.products + one.moved else "card"
            rows.append(
                [f"{point.layers} x {point.hidden}", f"{point.length}", f"{2 * point.rows}", f"{cards}",
                 f"{1000 * one.seconds:.1f}", bound, f"{one.tokens_a_second:,.0f}", f"{one.share:.0%}"]
            )  # fmt: skip
    heads = ["encoder", "tokens a row", "rows a card", "H100s", "ms a step", "waits for", "tokens / s",
             "share of the peak"]  # fmt: skip
    card = H100
    return (
        f"## One and eight H100s, on paper\n\n{table(heads, rows)}\n**Nothing of this was measured.** "
        f"Assumed of each card: a peak of {card.peak / 1e12:,.0f} TFLOP/s in dense bfloat16, of which "
        f"products reach {card.product_share:.0%}; {card.bandwidth / 1e12:.2f} TB/s of memory, of which "
        f"the rest reaches {card.bandwidth_share:.0%}, moving {card.state_passes:.0f} bytes for each "
        f"state value of a layer and {arithmetic.OPTIMIZER_BYTES} for each weight; fused attention; "
        f"{card.layer_calls} kernels a layer and {card.fixed_calls} beside, {1e6 * card.call_seconds:.0f} "
        "us of the host each, without torch.compile; float32 gradients in a ring over NVLink, "
        f"{card.link / 1e9:.0f} GB/s one way, of which {card.link_share:.0%}, nothing of it hidden. "
        "`scripts/gpu_checks.sh` measures one card where there is one.\n"
    )


def _made(lines: Sequence[Line]) -> str:
    def listed(name: str) -> str:
        return ", ".join(dict.fromkeys(str(line[name]) for line in lines))

    loads = [value for line in lines for value in line["load"]]
    commands = "".join(
        f"    {command}\n" for command in dict.fromkeys(line["command"] for line in lines)
    )
    return (
        f"## How it was measured\n\n{commands}\nCode {', '.join(f'`{code}`' for code in dict.fromkeys(line['code'] for line in lines))}, seed "
        f"{listed('seed')}, torch {listed('torch')}, {listed('machine')}, {listed('date')}. Load of the "
        f"machine {min(loads):.1f} to {max(loads):.1f} while it was measured.\n"
    )


def foretold_run(lines: Sequence[Line], settings: Sequence[str]) -> str:
    """What a run takes at the ceilings of the machine that measured last.

    Args:
        lines: All that was measured.
        settings: `layers=`, `hidden=`, `length=`, `rows=` of each domain, `steps=`.

    Raises:
        ValueError: If a setting is unknown, or too little is measured.
    """
    known = ("layers", "hidden", "length", "rows", "steps")
    given = dict(item.partition("=")[::2] for item in settings)
    if wrong := [
        f"{key}={value}" for key, value in given.items() if key not in known or not value.isdigit()
    ]:
        raise ValueError(f"{', '.join(wrong)}: write whole numbers for {', '.join(known)}.")
    numbers = {key: int(value) for key, value in given.items()}
    count = numbers.pop("steps", 1000)
    fitted, held_out = fitted_and_held_out(newest(lines, "steps"))
    model, last = fit(fitted), fitted[-1]
    seconds = model.seconds(Point(**numbers), last["ceiling_flops"], last["ceiling_bytes"])
    middle, most = errors(foretell(model, held_out or fitted))
    return (
        f"{count:,} steps of {seconds:.3g} s each: {count * seconds / 60:,.1f} minutes on one thread "
        f"of {last['machine']}, where the model was {middle:.0%} off in the median, {most:.0%} at most."
    )
