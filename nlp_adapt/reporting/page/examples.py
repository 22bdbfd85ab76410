"""Rows of the target and the words that drove their labels: for the eyes of the data's owner alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_adapt.prediction.attribution import WordEffects, domain_probe, word_effects
from nlp_adapt.prediction.likeness import Likeness
from nlp_adapt.prediction.tagged_text import TaggedText
from nlp_adapt.reporting.page.domains import class_kinds
from nlp_adapt.reporting.page.html import fold, section
from nlp_adapt.reporting.page.svg import shown

PRIVATE = (
    '<p class="private">This section quotes rows of your data. A page with it is never pushed; do not '
    "publish it.</p>"
)
STEPS = (0.15, 0.4, 0.75)  # of the strongest effect in a text, from which a word is marked more
LEAST = 0.02  # of an effect that is marked at all
MOST_CHARACTERS = 600


@dataclass(frozen=True)
class Row:
    """A text, its true label (None: unknown), and what each model says of it with what confidence."""

    text: str
    truth: str | None
    said: Mapping[str, tuple[str, float]]


def sentence_examples(
    texts: Sequence[str],
    truths: Sequence[str | None],
    predictors: Mapping[str, Any],
    source: Sequence[str],
    likeness: Likeness | None,
    most: int,
) -> str:
    """The section for a classifier of texts.

    Args:
        texts: Of the target; `truths` are their labels.
        predictors: The run's models by name, the one of interest last.
        source: Some texts of the source.
        likeness: How far a text lies from the source, where that is known.
        most: Rows of each kind.
    """
    name, predictor = list(predictors.items())[-1]
    answers, features = {}, np.zeros((0, 0))
    for title, one in predictors.items():
        answers[title], features = one.predict_with_features(list(texts))
    rows = [
        Row(
            text,
            truth,
            {title: (own[i]["label"], own[i]["score"]) for title, own in answers.items()},
        )
        for i, (text, truth) in enumerate(zip(texts, truths, strict=True))
    ]
    _, known = predictor.predict_with_features(list(source))
    probe = domain_probe(known, features)

    def listed(chosen: Iterable[int]) -> str:
        found = list(chosen)
        effects = word_effects(predictor, [texts[i] for i in found], probe) if found else []
        items = (_item(rows[i], marked(one)) for i, one in zip(found, effects, strict=True))
        inner = "".join(items)
        return f'<ul class="rows">{inner}</ul>' if inner else ""

    def sureness(i: int) -> float:
        return -rows[i].said[name][1]

    wrong = [i for i, row in enumerate(rows) if row.truth not in (None, row.said[name][0])]
    differ = [i for i, row in enumerate(rows) if len({label for label, _ in row.said.values()}) > 1]
    parts = _surest(wrong, differ, sureness, listed, most)
    if likeness is not None:
        order = np.argsort([one["distance_source"] for one in likeness.rows(features)])
        parts += [
            fold("Nearest to the source", listed(order[:most].tolist())),
            fold("Farthest from the source", listed(order[::-1][:most].tolist())),
        ]
    lead = (
        f"Words that {shown(name)} leans on: green ones speak for its label, red ones against it; "
        "underlined ones give the target away. Each was left out in turn."
    )
    return section("examples", "What drives it", lead, *([PRIVATE, *parts] if any(parts) else []))


def _surest(
    wrong: Sequence[int],
    differ: Sequence[int],
    sureness: Callable[[int], float],
    listed: Callable[[Sequence[int]], str],
    most: int,
) -> list[str]:
    """The errors and the differences that the model of interest is surest of."""
    titles = {"Surest errors": wrong, "Where the models differ": differ}
    return [
        fold(title, listed(sorted(rows, key=sureness)[:most]), opened=True)
        for title, rows in titles.items()
    ]


def marked(effects: WordEffects) -> str:
    """The text, escaped, with each word that did something marked by how much."""
    label, domain = effects.label, effects.domain
    strongest = float(np.abs(label).max(initial=0.0))
    farthest = float(domain.max(initial=0.0))
    parts, position = [], 0
    for (start, end), one, two in zip(effects.spans, label, domain, strict=True):
        kinds = [
            *(f"{'for' if one > 0 else 'not'}{degree}" for degree in _degree(abs(one), strongest)),
            *(f"dom{degree}" for degree in _degree(two, farthest)),
        ]
        word = shown(effects.text[start:end])
        parts.append(_between(effects.text[position:start]))
        title = f"label {one:+.2f}, target {two:+.2f}"
        parts.append(
            f'<mark class="{" ".join(kinds)}" title="{title}">{word}</mark>' if kinds else word
        )
        position = end
    parts.append(_between(effects.text[position : position + MOST_CHARACTERS]))
    return "".join(parts)


def _between(text: str) -> str:
    """What stands between words, with the space around it."""
    before = " " if text[:1].isspace() else ""
    after = " " if text[-1:].isspace() and text.strip() else ""
    return f"{before}{shown(text)}{after}"


def _degree(value: float, strongest: float) -> list[int]:
    """1 to 3 for a word that did something, nothing for others."""
    if strongest < LEAST or value < LEAST:
        return []
    found = sum(value >= step * strongest for step in STEPS)
    return [found] if found else []


def _item(row: Row, text: str) -> str:
    said = [
        f"<span>{shown(title)}: <b>{shown(label)}</b> {100 * score:.0f} %</span>"
        for title, (label, score) in row.said.items()
    ]
    if row.truth is not None:
        said.append(f"<span>truth: <b>{shown(row.truth)}</b></span>")
    return f'<li><div class="say">{"".join(said)}</div><p dir="auto">{text}</p></li>'


def tagged_examples(
    tagged: Mapping[str, Sequence[TaggedText]],
    truths: Sequence[TaggedText] | None,
    labels: Sequence[str],
    most: int,
    link: str = "",
) -> str:
    """The section for a tagger: sentences with what each model finds in them.

    Args:
        tagged: The sentences as each model tags them, the one of interest last.
        truths: As they are tagged by hand, where they are.
        link: Address of a page with all of them.
    """
    name = list(tagged)[-1]
    kinds = class_kinds(labels)
    count = len(tagged[name])

    def listed(chosen: Sequence[int]) -> str:
        inner = "".join(_tagged_item(i, tagged, truths, kinds) for i in chosen)
        return f'<ul class="rows">{inner}</ul>' if inner else ""

    def sureness(i: int) -> float:
        return -max((entity.score for entity in tagged[name][i].entities), default=0.0)

    wrong = [
        i for i in range(count) if truths is not None and tagged[name][i].tags != truths[i].tags
    ]
    differ = [i for i in range(count) if len({tuple(own[i].tags) for own in tagged.values()}) > 1]
    parts = _surest(wrong, differ, sureness, listed, most)
    page = f'<p><a href="{shown(link)}">All these sentences as a page of tagged text</a></p>'
    lead = "Sentences of the target with the entities that each model finds."
    shown_parts = [PRIVATE, page if link else "", *parts] if any(parts) or link else []
    return section("examples", "What it finds", lead, *shown_parts)


def _tagged_item(
    i: int,
    tagged: Mapping[str, Sequence[TaggedText]],
    truths: Sequence[TaggedText] | None,
    kinds: Mapping[str, str],
) -> str:
    said = {title: own[i] for title, own in tagged.items()}
    if truths is not None:
        said["truth"] = truths[i]
    inner = "".join(
        f'<div class="say"><span>{shown(title)}</span></div><p dir="auto">{"".join(_entities(one, kinds))}</p>'
        for title, one in said.items()
    )
    return f"<li>{inner}</li>"


def _entities(tagged: TaggedText, kinds: Mapping[str, str]) -> Iterator[str]:
    position = 0
    for entity in tagged.entities:
        kind = kinds.get(f"B-{entity.type}", "none")
        yield _between(tagged.text[position : entity.start])
        yield (
            f'<mark class="ent {kind}" title="{100 * entity.score:.0f} %">'
            f"{shown(tagged.text[entity.start : entity.end])}<small>{shown(entity.type)}</small></mark>"
        )
        position = entity.end
    yield _between(tagged.text[position:])
