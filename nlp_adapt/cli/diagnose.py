"""Say how two domains differ and what to do about it, before anything is trained.

nlp-adapt diagnose --source reviews.csv --target tweets.jsonl

Looks at up to 5,000 rows of each domain: sizes, lengths, words that the tokenizer splits, how far apart
the domains are for a probe on the frozen encoder, the words that tell them apart, the nearest and
farthest texts, estimates of the target's class shares, and rows that stand in both. Then it recommends
a method, a length of training and how many labels would help, or not to adapt. No label of the target is
read. `nlp-adapt doctor` looks for faults instead.
"""

import argparse
from typing import Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import add_recipe_arguments, read_recipe, take_dotted_flags
from nlp_adapt.errors import ConfigError
from nlp_adapt.names import TOKEN_CLASSIFICATION, counted

USAGE = (
    "nlp-adapt diagnose --source DATA --target DATA [--task TASK] [--model MODEL] "
    "[--config RECIPE.yaml] [--KEY VALUE ...] [--json]"
)
HELP = "say how two domains differ and what to do about it"
SIDES = ("source", "target")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe file, and every key of a recipe as a flag."""
    add_recipe_arguments(parser, "what was found")


accept_unknown = take_dotted_flags


def run(args: argparse.Namespace) -> int:
    """Print what was found, and the recommendation."""
    recipe = read_recipe(args)
    if recipe.sources or recipe.targets:
        raise ConfigError(
            "diagnose looks at one source and one target: name them with --source and --target."
        )
    if not recipe.target:
        raise ConfigError("name the domain to adapt to: --target FILE, or `target: FILE`.")
    with console.stdout_for_results(args.json):
        from nlp_adapt.data.labels import LabelMap
        from nlp_adapt.diagnosis.report import MOST_ROWS, diagnose
        from nlp_adapt.training.inputs.recipe import sources_of, targets_of, with_own_map

        recipe = with_own_map(recipe)
        (source,), (target,) = sources_of(recipe), targets_of(recipe)
        LabelMap.of(recipe.label_map).refuse_unmet("any domain")
        limits = (recipe.max_source_rows, recipe.max_target_rows)
        found = diagnose(
            source,
            target,
            model=recipe.model,
            max_length=recipe.max_length,
            most_rows=min([MOST_ROWS, *filter(None, limits)]),
            seed=recipe.seed,
        )
    console.show(args, found, render)
    return 0


def render(found: dict[str, Any]) -> str:
    """The report as text."""
    parts = [_sizes(found), _words(found), _distance(found), _telling(found), _examples(found)]
    parts += [_shares(found), _entities(found), _overlap(found), _recommendation(found)]
    return "\n\n".join(filter(None, parts))


def _sizes(found: dict[str, Any]) -> str:
    from nlp_adapt.reporting.table import layout

    rows = [["", *(f"{side} {found['domains'][side]['name']}" for side in SIDES)]]
    for title, key in (("training rows", "training"), ("looked at", "looked_at"),
                       ("read by the encoder", "encoded")):  # fmt: skip
        rows.append([title, *(f"{found['domains'][side][key]:,}" for side in SIDES)])
    for unit in ("words", "tokens"):
        values = [found["lengths"][side][unit] for side in SIDES]
        shown = [f"{one['median']} / {one['ninetieth']} / {one['most']}" for one in values]
        rows.append([f"{unit} a text: median / 90 % / most", *shown])
    cut = [f"{100 * found['lengths'][side]['cut']:.1f}" for side in SIDES]
    rows.append([f"longer than {found['max_length']} tokens, %", *cut])
    return layout(rows)


def _words(found: dict[str, Any]) -> str:
    from nlp_adapt.reporting.results import percent
    from nlp_adapt.reporting.table import layout

    words = found["words"]
    rows = [["words, %", *SIDES]]
    for title, key in (("unknown to the tokenizer", "unknown"), ("split into pieces", "split"),
                       ("not in the source", "unseen")):  # fmt: skip
        values = [words[side].get(key) for side in SIDES]
        rows.append([title, *map(percent, values)])
    often = ", ".join(words["target"]["often_split"])
    return layout(rows) + (f"\nOften split in the target: {often}." if often else "")


def _distance(found: dict[str, Any]) -> str:
    from nlp_adapt.reporting.results import MISSING
    from nlp_adapt.reporting.table import layout

    titles = {
        "encoder": f"features of {found['model']}",
        "words": "the 1,000 most frequent words",
        "length": "length alone",
    }
    rows = [["proxy A-distance by", "0 alike, 2 apart"]]
    for key, title in titles.items():
        value = found["distance"][key]
        rows.append([title, MISSING if value is None else f"{value:.2f}"])
    return layout(rows)


def _telling(found: dict[str, Any]) -> str:
    lines = ["Words that tell the domains apart (z score):"]
    for side in SIDES:
        own = ", ".join(f"{e['word']} {abs(e['z']):.0f}" for e in found["telling_words"][side])
        lines.append(f"  {side}: {own or 'none'}")
    return "\n".join(lines)


def _examples(found: dict[str, Any]) -> str:
    lines = []
    for kind, entries in found["examples"].items():
        if entries:
            lines.append(f"{kind.capitalize()} texts of the target (cosine to the source):")
            lines += [f"  {entry['similarity']:.2f}  {entry['text']}" for entry in entries]
    return "\n".join(lines)


def _shares(found: dict[str, Any]) -> str:
    from nlp_adapt.reporting.table import layout

    own = found["class_shares"]
    if own is None:
        return ""
    titles = {
        "source": "source",
        "predicted": "target, probe",
        "em": "target, EM",
        "bbse": "target, BBSE",
    }
    units = "words" if found["task"] == TOKEN_CLASSIFICATION else "rows"
    rows = [[f"classes, % of {units}", *titles.values()]]
    for name in own["shares"]["source"]:
        rows.append([name, *(f"{100 * own['shares'][key][name]:.1f}" for key in titles)])
    return (
        f"{layout(rows)}\nThe estimates differ by up to {100 * own['disagreement']:.0f} points; the probe "
        f"is right on {100 * own['right_on_source']:.0f} % of held-out {units} of the source. Nothing acts "
        "on them."
    )


def _entities(found: dict[str, Any]) -> str:
    own = found["entities"]
    if own is None:
        return ""
    return (
        f"Of {counted(own['stretches'], 'span')} that a probe takes for entities in the target, "
        f"{100 * own['target']:.0f} % are no entity of the source (held-out source: "
        f"{100 * own['source']:.0f} %), such as {', '.join(own['often'])}."
    )


def _overlap(found: dict[str, Any]) -> str:
    own = found["overlap"]
    lines = [
        f"Repeated rows: {own['repeated_in_source']:,} in the source, {own['repeated_in_target']:,} in "
        f"the target. Target texts that the source holds: {own['target_in_source']:,}."
    ]
    if own["test"]:
        lines.append(
            f"Of {counted(own['test'], 'test row')} of the target, {own['test_in_source']:,} are among "
            f"the source's labelled rows and {own['test_in_target']:,} among its own training rows."
        )
    return "\n".join(lines)


def _recommendation(found: dict[str, Any]) -> str:
    own = found["recommendation"]
    labels = f"; {own['labels']} labels would help" if own["labels"] else ""
    verdict = "adapt" if own["adapt"] else "do not adapt"
    lines = [f"Recommended: {verdict} (method {own['method']}, {own['epochs']} epochs{labels})."]
    lines += [f"- {one['advice']} [{one['basis']}]" for one in own["says"]]
    return "\n".join(lines)
