"""What the models confuse, and how often they say each class."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nlp_adapt.names import OUTSIDE, TOKEN_CLASSIFICATION
from nlp_adapt.reporting.page.charts import Bar, matrix, share_bars, stacked
from nlp_adapt.reporting.page.html import Cell, figure, fold, grid, legend, section, table
from nlp_adapt.reporting.page.material import Material, Model
from nlp_adapt.reporting.page.svg import shown
from nlp_adapt.reporting.results import SIDES, exported_scores, part

MOST_CLASSES = 16  # of a matrix
MOST_BARS = 8  # classes whose shares are drawn
MOST_PAIRS = 12
ERRORS = {
    "correct": ("good", "right"),
    "wrong_boundary": ("c4", "wrong boundary"),
    "wrong_type": ("c3", "wrong type"),
    "missed": ("m0", "missed"),
    "spurious": ("bad", "found where nothing is"),
}


def mistakes(material: Material) -> str:
    """Confusion of classes, or errors of spans, of both models side by side."""
    for side in reversed(SIDES):
        scored = [model for model in material.models if part(model.scores, side)]
        if not scored:
            continue
        if material.results["task"] == TOKEN_CLASSIFICATION:
            return _spans(material, scored, side)
        return _matrices(material, scored, side)
    return ""


def _matrices(material: Material, models: Sequence[Model], side: str) -> str:
    pictures, pairs = [], []
    for model in models:
        own = part(model.scores, side)
        counts, names = own.get("confusion_matrix"), own.get("label_names", ())
        for name, domain in own.get("domains", {}).items() if not counts else ():
            pairs += _confused(domain, f"{model.title} on {name}")
        if not counts:
            continue
        pairs += _confused(own, model.title)
        if len(names) <= MOST_CLASSES:
            label = f"Confusion matrix of {shown(model.title)}"
            picture = matrix(names, counts, model.kind, label)
            pictures.append(figure(shown(model.title), picture, _errors_in_words(counts)))
    lead = (
        f"Test rows of {shown(material.name(side))}: each row of a matrix is a true class, each "
        "column what the model says, in per cent of the row."
    )
    head: list[Cell] = ["most frequent errors", "said instead", "rows", "model"]
    listed = table([head, *pairs])
    listed = listed if pairs else ""
    inner = fold("Most frequent errors", listed) if pictures else listed
    return section("mistakes", "What it confuses", lead, grid(*pictures, kind="two"), inner)


def _errors_in_words(counts: Sequence[Sequence[int]]) -> str:
    total, right = sum(map(sum, counts)), sum(row[place] for place, row in enumerate(counts))
    return f"{total - right:,} of {total:,} wrong"


def _confused(own: Mapping[str, Any], model: str) -> list[list[Cell]]:
    """The pairs of classes that are confused most."""
    names, counts = own.get("label_names", ()), own.get("confusion_matrix") or ()
    found = [
        (count, names[i], names[j])
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    found.sort(key=lambda one: -one[0])
    return [[true, said, f"{count:,}", model] for count, true, said in found[:MOST_PAIRS]]


def _spans(material: Material, models: Sequence[Model], side: str) -> str:
    kinds = [kind for kind, _ in ERRORS.values()]
    names = [name for _, name in ERRORS.values()]
    key = legend((kind, "box", name) for kind, name in ERRORS.values())
    total = [
        (model.title, [part(model.scores, side, "errors").get(one, 0) for one in ERRORS])
        for model in models
    ]
    pictures = [
        figure("All types", stacked(total, kinds, names, "Spans by kind of error"), "spans")
    ]
    every = [part(model.scores, side, "errors_by_type") for model in models]
    sizes = {kind: sum(part(own, kind).values()) for own in every for kind in own}
    for model, by_type in zip(models, every, strict=True):
        found = sorted(by_type, key=lambda kind: -sizes[kind])  # alike in all models
        rows = [(kind, [by_type[kind].get(one, 0) for one in ERRORS]) for kind in found]
        if rows:
            picture = stacked(rows[:MOST_CLASSES], kinds, names, "Spans by type and kind of error")
            pictures.append(figure(shown(model.title), picture, "spans by type"))
    head: list[Cell] = ["model", *names]
    numbers = [head]
    numbers += [[name, *(f"{count:,}" for count in counts)] for name, counts in total]
    return section(
        "mistakes", "What it confuses",
        f"Entities of {shown(material.name(side))}. A span is right where its boundaries and its "
        "type are.",
        f'<div class="key legend">{key}</div>', grid(*pictures), fold("Numbers", table(numbers)),
    )  # fmt: skip


def shares(material: Material) -> str:
    """How frequent each class is: in the source's labels, as told, as said, and in truth."""
    found = dict(_shares(material))
    classes = [
        name
        for name in material.results.get("labels", ())
        if name != OUTSIDE and any(name in own for own, _ in found.values())
    ]
    if not found or not classes:
        return ""
    classes.sort(key=lambda name: -max(own.get(name, 0.0) for own, _ in found.values()))
    groups = [
        (name, [Bar(title, own[name], kind) for title, (own, kind) in found.items() if name in own])
        for name in classes[:MOST_BARS]
    ]
    middle = (len(groups) + 1) // 2 if len(groups) > 3 else len(groups)
    label, unit = "How frequent each class is", "share of rows, %"
    if material.results["task"] == TOKEN_CLASSIFICATION:
        unit = f"share of words, %; {OUTSIDE} is left out"
    pictures = [
        figure(label if not place else "", share_bars(part_, label), unit)
        for place, part_ in enumerate((groups[:middle], groups[middle:]))
        if part_
    ]
    rows: list[list[Cell]] = [["class", *found]]
    rows += [[name, *(own.get(name) for own, _ in found.values())] for name in classes]
    lead = "A class that a model says far more or less often than it occurs has drifted."
    if any(name.startswith("target, by ") for name in found):
        lead += " EM and BBSE estimate the target’s shares from the exported model’s answers."
    return section("shares", "Class shares", lead, grid(*pictures), fold("Numbers", table(rows)))


def _shares(material: Material) -> Iterator[tuple[str, tuple[Mapping[str, float], str]]]:
    models = material.models
    if source := part(models[0].scores, "evidence", "source_classes"):
        yield "source, labels", (source, "c5")
    told = part(material.recipe, "target_class_shares") or part(
        models[-1].scores, "class_shares", "told"
    )
    if told:
        yield "target, as told", (told, "warn")
    estimates = part(exported_scores(material.results), "class_shares", "estimated")
    for name, own in estimates.items():
        yield f"target, by {name.upper()}", (own, "c7")
    for model in models:
        if said := part(model.scores, "evidence", "predicted"):
            yield f"target, {model.title}", (said, model.kind)
    target = part(models[0].scores, "target")
    if counts := target.get("confusion_matrix"):
        total = max(sum(map(sum, counts)), 1)
        names = target["label_names"]
        truth = {name: sum(row) / total for name, row in zip(names, counts, strict=True)}
        yield "target, truth", (truth, "ink")
