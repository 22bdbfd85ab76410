"""The two domains in the models' features, the words that tell them apart, and calibration."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nlp_adapt.names import OUTSIDE, TOKEN_CLASSIFICATION
from nlp_adapt.reporting.page.charts import Bar, share_bars
from nlp_adapt.reporting.page.curves import Point, reliability, scatter
from nlp_adapt.reporting.page.html import Cell, figure, fold, grid, legend, section, table
from nlp_adapt.reporting.page.material import Material, Model
from nlp_adapt.reporting.page.svg import shown
from nlp_adapt.reporting.results import SIDES, part, percent

CLASS_KINDS = ("c0", "c1", "c2", "c3", "c4", "c5", "c6")
OTHER_KIND = "none"
OTHER = ("other classes", "no entity")  # what is grey
SHAPES = {"source": "circle", "target": "cross"}


def domains(material: Material) -> str:
    """Both domains in the plane, their distance, and their words."""
    kinds = class_kinds(material.results["labels"])
    planes, known = [], False
    for model in material.models:
        points = part(material.plots, model.key).get("points")
        if points:
            known = known or any(truth >= 0 for truth in points["target"]["truth"])
            planes.append(_plane(material, model, points, kinds))
    colour = "true class" if known else "predicted class in the target, true class in the source"
    entries = [("ink", "dot", f"source: {material.name('source')}")]
    entries.append(("ink", "cross", f"target: {material.name('target')}"))
    entries += [(kind, "box", name) for kind, name in kind_names(kinds).items()]
    key = f'<div class="key legend">{legend(entries)}</div>' if planes else ""
    unit = "word" if material.results["task"] == TOKEN_CLASSIFICATION else "text"
    lead = (
        f"What the classifier reads of each {unit}, on its two main directions; colour is the "
        f"{colour}. Domains that adaptation has brought together lie upon each other, each class on "
        "its own."
        if planes
        else ""
    )
    return section(
        "domains", "The two domains", lead, key, grid(*planes, kind="wide"),
        grid(_distances(material.models), *_words(material)),
    )  # fmt: skip


def class_kinds(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each class; for tags, for each entity type."""
    kinds: dict[str, str] = {}
    colours = iter(CLASS_KINDS)
    types: dict[str, str] = {}
    for label in labels:
        if label == OUTSIDE:
            kinds[label] = OTHER_KIND
            continue
        name = _type_of(label) if OUTSIDE in labels else label
        if name not in types:
            types[name] = next(colours, OTHER_KIND)
        kinds[label] = types[name]
    return kinds


def kind_names(kinds: Mapping[str, str]) -> dict[str, str]:
    """What each colour of `class_kinds` stands for."""
    named: dict[str, str] = {}
    for label, kind in kinds.items():
        named.setdefault(kind, _type_of(label) if kind != OTHER_KIND else OTHER[label == OUTSIDE])
    return named


def _type_of(label: str) -> str:
    return label[2:] if label[:2] in ("B-", "I-") else label


def _plane(
    material: Material, model: Model, points: Mapping[str, Any], kinds: Mapping[str, str]
) -> str:
    labels = material.results["labels"]
    drawn = []
    for side in SIDES:
        own = points[side]
        rows = zip(
            *(own[key] for key in ("x", "y", "truth", "predicted", "confidence")), strict=True
        )
        for x, y, truth, predicted, confidence in rows:
            says = f"says {shown(labels[predicted], 30)} ({100 * confidence:.0f} %)"
            if truth >= 0 and truth != predicted:
                says += f", is {shown(labels[truth], 30)}"
            colour = kinds[labels[truth if truth >= 0 else predicted]]
            drawn.append(Point(x, y, colour, SHAPES[side], f"{side}: {says}"))
    first, second = (100 * share for share in points["explained"])
    distance = part(model.scores, "evidence").get("domain_distance")
    note = f"{first:.0f} % and {second:.0f} % of the variance"
    if distance is not None:
        note += f"; domain distance {distance:.2f} of 2"
    picture = scatter(drawn, f"Features of {shown(model.title)} in the plane")
    return figure(shown(model.title), picture, note)


def _distances(models: Sequence[Model]) -> str:
    bars = [
        Bar(model.title, distance / 2, model.kind, f"{distance:.2f}")
        for model in models
        if (distance := part(model.scores, "evidence").get("domain_distance")) is not None
    ]
    if not bars:
        return ""
    picture = share_bars([("", bars)], "Distance of the domains")
    note = "how well a line tells them apart in the features: 0 not at all, 2 without an error"
    return figure("Distance of the domains", picture, note)


def _words(material: Material) -> Iterator[str]:
    """Words that are far more frequent in one domain than in the other."""
    words = next((own["words"] for own in material.plots.values() if own.get("words")), None)
    for place, side in enumerate(SIDES if words else ()):
        assert words is not None
        rows = words[side]
        if not rows:
            continue
        most = max(row[1 + place] for row in rows)
        bars = [
            Bar(word, per[place] / most, ("c0", "c1")[place], f"{per[place]:g}")
            for word, *per in rows
        ]
        picture = share_bars([("", bars)], f"Words of the {side}")
        note = "times in 10,000 words; the surest marks of the domain first"
        yield figure(f"Words of {shown(material.name(side), 30)}", picture, note)


def calibration(material: Material) -> str:
    """Whether confidence can be believed, before and after a temperature."""
    pictures: list[str] = []
    rows: list[list[Cell]] = [["expected calibration error, %", "before", "after", "temperature"]]
    for side in SIDES:
        for model in material.models:
            found = part(material.plots, model.key, "calibration")
            own = part(found, side)
            if not own:
                continue
            before, after = own["before"], own.get("after")
            temperature = found.get("temperature")
            note = f"expected calibration error {percent(before['ece'])} %"
            if after:
                note += f", with temperature {temperature:.2f}: {percent(after['ece'])} %"
            held = "held-out source" if side == "source" else "target"
            title = f"{shown(model.title)} on the {held}"
            bins = (before["bins"], after["bins"] if after else [])
            pictures.append(figure(title, reliability(*bins, model.kind, title), note))
            name = f"{model.title}, {held} ({own['rows']} rows)"
            degree = "–" if temperature is None else f"{temperature:.2f}"
            rows.append([name, before["ece"], after["ece"] if after else None, degree])
    if not pictures:
        return ""
    key = legend([("none", "dot", "as trained"), ("none", "ring", "with temperature")])
    lead = (
        "Of the answers with 80 % confidence, 80 % should be right: on the dashed line, below it "
        "where the model is too sure of itself. The temperature is fitted on the source’s "
        "validation rows, and nothing acts on it."
    )
    return section(
        "calibration", "Calibration", lead, f'<div class="key legend">{key}</div>',
        grid(*pictures, kind="two"), fold("Numbers", table(rows)),
    )  # fmt: skip
