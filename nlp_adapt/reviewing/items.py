"""What a person is asked: a text, or a stretch of it, and two readings in blind order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nlp_adapt.files import text_hash
from nlp_adapt.prediction.tagged_text import Entity, TaggedText

NO_ENTITY = "no entity"


@dataclass(frozen=True)
class Unit:
    """A decision of both models about a text: its label, or what a stretch of it names.

    Attributes:
        place: Where its row stands.
        adapted: The adapted model's reading.
        source_only: The source-only model's.
        start: Where the stretch begins in the text, in characters; 0 and 0 for the whole text.
    """

    text: str
    place: str
    adapted: str
    source_only: str
    start: int = 0
    end: int = 0

    @property
    def differ(self) -> bool:
        """Whether the models say different things."""
        return self.adapted != self.source_only


@dataclass(frozen=True)
class Item:
    """A unit that is asked, with its two choices.

    Where both models say the same, the other choice is another reading, so that nothing tells such
    an item from one on which they differ.
    """

    id: str
    unit: Unit
    a: str
    b: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"id": self.id, "a": self.a, "b": self.b, **asdict(self.unit)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Item":
        """What `to_dict` gave."""
        rest = {name: value for name, value in values.items() if name not in ("id", "a", "b")}
        return cls(values["id"], Unit(**rest), values["a"], values["b"])


def span_units(
    places: Sequence[str], adapted: Sequence[TaggedText], source_only: Sequence[TaggedText]
) -> list[Unit]:
    """A unit for each stretch in which a model finds something; what overlaps is one stretch."""
    found = []
    for place, one, two in zip(places, adapted, source_only, strict=True):
        for start, end, ours, theirs in _stretches(one.entities, two.entities):
            readings = _reading(one.text, ours), _reading(one.text, theirs)
            found.append(Unit(one.text, place, *readings, start, end))
    return found


def _stretches(
    one: Sequence[Entity], two: Sequence[Entity]
) -> Iterator[tuple[int, int, list[Entity], list[Entity]]]:
    """Begin and end of each group of entities that overlap, and those of either model in it."""
    tagged = sorted([(e.start, e.end, 0, e) for e in one] + [(e.start, e.end, 1, e) for e in two])
    group: list[tuple[int, int, int, Entity]] = []
    end = 0
    for entity in [*tagged, None]:
        if group and (entity is None or entity[0] >= end):
            ours, theirs = ([e for _, _, of, e in group if of == side] for side in (0, 1))
            yield group[0][0], end, ours, theirs
            group = []
        if entity is not None:
            end = max(end, entity[1]) if group else entity[1]
            group.append(entity)


def _reading(text: str, entities: Sequence[Entity]) -> str:
    return " + ".join(f"{e.type}: {text[e.start : e.end]}" for e in entities) or NO_ENTITY


def draw(
    units: Sequence[Unit],
    asked: Sequence[Item],
    *,
    differing: int,
    agreeing: int,
    labels: Sequence[str],
    seed: int,
    salt: str,
) -> list[Item]:
    """New items at random: so many on which the models differ, and so many on which they agree.

    The order of the draw depends on the seed alone, so that what is drawn later comes from the
    units that are left as if all had been drawn at once.

    Args:
        asked: What was drawn before, and is not drawn again.
        labels: Label names for the other choice where models agree; empty for taggers.
        salt: What sets the ids of this review apart from those of others.
    """
    known = {item.id for item in asked}
    order = np.random.default_rng([seed, 21]).permutation(len(units))
    left = {True: differing, False: agreeing}
    found = []
    for index in order:
        unit = units[index]
        name = text_hash(f"{salt}|{unit.place}|{unit.start}|{unit.end}|{unit.text}")[:12]
        if left[unit.differ] > 0 and name not in known:
            left[unit.differ] -= 1
            found.append(_item(name, unit, labels))
    mixed = np.random.default_rng([seed, 22, len(known)]).permutation(len(found))
    return [found[index] for index in mixed]


def _item(name: str, unit: Unit, labels: Sequence[str]) -> Item:
    """The unit with its choices in an order that says nothing of the models."""
    coins = np.random.default_rng(int(name, 16))
    other = unit.source_only
    if not unit.differ:
        others = [label for label in labels or (NO_ENTITY,) if label != unit.adapted]
        other = others[coins.integers(len(others))]
    choices = [unit.adapted, other]
    if coins.integers(2):
        choices.reverse()
    return Item(name, unit, *choices)
