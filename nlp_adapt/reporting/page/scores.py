"""The verdict, and the scores of both models with their intervals."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nlp_adapt.metrics.classification import comparable
from nlp_adapt.reporting.comparison import (
    answer_sentences,
    compare,
    conclusions,
    estimate_half_width,
    half_width,
    verdict_sentences,
)
from nlp_adapt.reporting.page.charts import Bar, Dot, interval_dots, pairs, share_bars
from nlp_adapt.reporting.page.html import (
    Cell,
    chips,
    figure,
    fold,
    grid,
    legend,
    section,
    sentence,
    table,
)
from nlp_adapt.reporting.page.material import Material, Model
from nlp_adapt.reporting.page.svg import shown
from nlp_adapt.reporting.results import (
    SIDES,
    Results,
    falls_back,
    main_measure,
    method_title,
    part,
    percent,
    share_sentences,
)
from nlp_adapt.tasks import TASKS

MOST_REASONS = 4  # that are not folded
MOST_KINDS = 16  # classes or types in a picture
MOST_DOMAINS = 12
ESTIMATE_NOTE = "%, from the models’ own confidence; the intervals are as wide as it was off for nine of ten models whose truth was known"
TONES = {
    "better": "good",
    "worse": "bad",
    "adapted": "good",
    "source-only": "bad",
    "source_only": "bad",
}
SIGNS_SAY = {
    "adapted": "adapted model",
    "source-only": "source-only model",
    "undecided": "cannot be told",
}


def verdict(material: Material) -> str:
    """What came of the run, in a sentence, a few chips and the reasons."""
    results = material.results
    first, *others = conclusions(results)
    signs = verdict_sentences(results)
    measured = compare(results, "target")
    sign = part(results, "guard").get("verdict", "")
    tone = TONES.get(measured.verdict if measured else sign, "open")
    lead = first if measured or not signs else signs[0]
    rest = (first, *others, *signs, *share_sentences(results), *answer_sentences(results))
    items = [f"<li>{sentence(one)}</li>" for one in rest if one != lead]
    top, more = (
        own and f'<ul class="reasons">{"".join(own)}</ul>'
        for own in (items[:MOST_REASONS], items[MOST_REASONS:])
    )
    said = f"<p>{sentence(lead)}</p>{chips(_chips(material))}"
    return f'<div class="verdict {tone}">{said}</div>\n{top or ""}\n{fold("More, and why", more or "")}'


def _chips(material: Material) -> Iterator[tuple[str, str, str]]:
    results = material.results
    measure = main_measure(results)
    for model in material.models:
        if target := part(model.scores, "target"):
            half = half_width(target)
            around = f" <em>± {100 * half:.1f}</em>" if half else ""
            value = percent(comparable(target, measure.key))
            yield "plain", f"{shown(model.title, 24)}, target {measure.title}", value + around
    last = material.models[-1]
    estimate = part(last.scores, "label_free").get("estimated_accuracy")
    if estimate is not None:
        half = estimate_half_width(last.scores)
        around = f" <em>± {100 * half:.0f} for 9 of 10 models</em>" if half else ""
        name = f"estimated without labels, {shown(last.title, 24)}"
        yield "plain", name, percent(estimate) + around
    if guard := results.get("guard"):
        word = guard["verdict"]
        yield TONES.get(word, "plain"), "signs without labels", shown(SIGNS_SAY.get(word, word))
    if review := part(results, "review"):
        from nlp_adapt.reporting.reviewed import WINNERS

        found = WINNERS.get(str(review.get("verdict")), "not settled")
        yield TONES.get(str(review.get("verdict")), "plain"), "a person’s answers", shown(found)
    told = part(results, "guard").get("verdict") == "source-only"
    why = ("by the signs" if told else "better worst case") if falls_back(results) else ""
    why = "by a person’s answers" if part(results, "review").get("exported") else why
    exported = "source-only" if falls_back(results) else method_title(results)
    said = f" <em>{why}</em>" if why else ""
    yield "plain", "exported model", f"{shown(exported, 24)}{said}"


def scores(material: Material) -> str:
    """Both models on both domains with their intervals, and what each class or type has gained."""
    results, models = material.results, material.models
    measure = main_measure(results)
    drawn = [
        (title, dots)
        for side in SIDES
        for title, dots in [_dots(material, side, measure.key)]
        if dots
    ]
    pictures = []
    if drawn:
        picture = interval_dots(drawn, f"{measure.title} of the models on both domains")
        pictures.append(figure("Test rows", picture, f"{measure.title}, %, with 95 % intervals"))
    kinds, kind_table = _kinds(material)
    pictures += [kinds, _estimates(models), *_domains(material, measure.key)]
    marks = legend((model.kind, "dot", model.title) for model in models)
    key = f'<div class="key legend">{marks}{_yardstick_key(models)}</div>'
    lead = "Every number is on rows that no model was trained on."
    if not any(part(model.scores, "target") for model in models):
        lead += " The target has no labelled test rows, so its scores are estimates."
    drawn_from = [
        f"{material.name(side)} was tested on {part(results, side, 'rows').get('test', 0):,} rows "
        f"drawn from {count:,}."
        for side in SIDES
        if (count := part(results, side, "drawn_from").get("test"))
    ]
    lead += "".join(f" {shown(one)}" for one in drawn_from)
    numbers = table(_rows(material)) if drawn else ""
    return section(
        "scores", "Scores", lead, key, grid(*pictures), numbers,
        fold("Precision, recall and F1", kind_table),
    )  # fmt: skip


def _dots(material: Material, side: str, key: str) -> tuple[str, list[Dot]]:
    dots = []
    for model in material.models:
        if own := part(model.scores, side):
            dots.append(Dot(model.title, comparable(own, key), half_width(own), model.kind))
    if side == "target":
        for model in material.models:
            best = part(model.scores, side, "oracle").get(key)
            if best is not None:
                dots.append(Dot(f"{model.title}, best", best, None, model.kind, "diamond"))
    rows = part(material.results, side, "rows").get("test")
    title = f"{side}: {material.name(side)}"
    return (f"{title} ({rows:,} rows)" if rows else title), dots


def _yardstick_key(models: Sequence[Model]) -> str:
    if not any(part(model.scores, "target", "oracle") for model in models):
        return ""
    return legend([("none", "diamond", "best threshold, by its test labels")])


def _estimates(models: Sequence[Model]) -> str:
    """What the models' confidence says of their accuracy, which needs no labels."""
    dots = estimate_dots((model.title, model.kind, model.scores) for model in models)
    if not dots:
        return ""
    picture = interval_dots([("target, estimated", dots)], "Estimated accuracy on the target")
    return figure("Estimated accuracy on the target", picture, ESTIMATE_NOTE)


def estimate_dots(models: Iterable[tuple[str, str, Results]]) -> list[Dot]:
    """The estimated accuracy of each model that has one, by its name, its colour and its scores."""
    return [
        Dot(name, value, estimate_half_width(scores), kind)
        for name, kind, scores in models
        if (value := part(scores, "label_free").get("estimated_accuracy")) is not None
    ]


def _rows(material: Material) -> list[list[Cell]]:
    """The measures of each model on both domains."""
    measures = TASKS[material.results["task"]].measures
    sides = [side for side in SIDES if any(part(one.scores, side) for one in material.models)]
    head: list[Cell] = ["%", *(f"{side} {one.title}" for side in sides for one in measures)]
    return [
        head,
        *(
            [
                model.title,
                *(part(model.scores, side).get(one.key) for side in sides for one in measures),
            ]
            for model in material.models
        ),
    ]


def _kinds(material: Material) -> tuple[str, str]:
    """F1 of each class or entity type on the target, or on the source without labels there."""
    models = material.models
    for side in reversed(SIDES):
        for key, what in (("per_class", "class"), ("per_type", "type")):
            own = [part(model.scores, side, key) for model in models]
            if all(own):
                return _drawn_kinds(models, own, side, what), _kind_table(models, own, what)
    return "", ""


def _drawn_kinds(
    models: Sequence[Model], own: Sequence[Mapping[str, Any]], side: str, what: str
) -> str:
    names = sorted({name for one in own for name in one})
    found = [(name, *(one.get(name, {}).get("f1", 0.0) for one in own)) for name in names]
    note = f"on the {side}, %"
    if len(models) == 1:
        bars = [Bar(name, values[0], models[0].kind) for name, *values in found[:MOST_KINDS]]
        return figure(f"F1 by {what}", share_bars([("", bars)], f"F1 by {what}"), note)
    both = [(str(name), float(before), float(after)) for name, before, after in found]
    if len(both) > MOST_KINDS:
        both = sorted(both, key=lambda row: -abs(row[2] - row[1]))[:MOST_KINDS]
        note += f"; the {MOST_KINDS} that changed most of {len(names)}"
    picture = pairs(both, (models[0].kind, models[1].kind), f"F1 by {what} of both models")
    return figure(f"F1 by {what}", picture, f"{note}, and the difference in points")


def _kind_table(models: Sequence[Model], own: Sequence[Mapping[str, Any]], what: str) -> str:
    columns = ("precision", "recall", "f1")
    head: list[Cell] = [what, *(f"{model.title} {one}" for model in models for one in columns)]
    rows: list[list[Cell]] = [[*head, "rows" if what == "class" else "spans"]]
    for name in sorted({name for one in own for name in one}):
        entries = [one.get(name, {}) for one in own]
        values = [entry.get(column) for entry in entries for column in columns]
        support = max(entry.get("support", 0) for entry in entries)
        rows.append([name, *values, f"{support:,.0f}"])
    return table(rows)


def _domains(material: Material, key: str) -> Iterator[str]:
    """The main measure on each of a side's several domains."""
    models = material.models
    for side in SIDES:
        own = [part(model.scores, side, "domains") for model in models]
        if len(models) == 2 and all(own):
            rows = [
                (name, comparable(own[0][name], key), comparable(own[1][name], key))
                for name in own[0]
                if name in own[1]
            ]
            title = f"Each {side}: {main_measure(material.results).title}"
            kinds = (models[0].kind, models[1].kind)
            picture = pairs(rows[:MOST_DOMAINS], kinds, title)
            yield figure(title, picture, "%, and the difference in points")
