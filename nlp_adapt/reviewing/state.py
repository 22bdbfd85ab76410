"""What a review has asked and been answered so far, kept with the run under a checksum."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nlp_adapt.errors import RunError
from nlp_adapt.files import checksums, text_hash, write_json
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.reporting.results import as_written
from nlp_adapt.reviewing.items import Item
from nlp_adapt.training.saving.run_folder import RunFolder

FORMAT = 2
UNSURE = "unsure"


@dataclass
class Review:
    """The state of a review.

    Attributes:
        models: A hash of both models' weights: answers are about these two alone.
        population: What `Population.to_dict` says of the texts that items are drawn from.
        items: All that was asked, by id, in the order of the draw.
        answers: What a person said, by id.
        first_look: The ids of the sure answers that were there when a verdict was first asked for.
    """

    models: str
    task: str
    labels: tuple[str, ...]
    seed: int
    population: dict[str, Any]
    items: dict[str, Item] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    first_look: tuple[str, ...] = ()

    @property
    def tagging(self) -> bool:
        """Whether stretches of text are asked, not texts."""
        return self.task == TOKEN_CLASSIFICATION

    @property
    def unanswered(self) -> list[Item]:
        """The items that wait for an answer."""
        return [item for name, item in self.items.items() if name not in self.answers]

    def take(self, answers: Mapping[str, str]) -> None:
        """Add answers; the sure ones of the first time are the first look."""
        self.answers.update(answers)
        sure = (name for name, answer in self.answers.items() if answer != UNSURE)
        self.first_look = self.first_look or tuple(sure)

    def save(self, folder: RunFolder) -> None:
        """Write it into the run's folder, and its checksum into the manifest."""
        plain = {**vars(self), "items": [item.to_dict() for item in self.items.values()]}
        write_json(folder.review, {"format": FORMAT, **plain})
        folder.manifest.seal(folder.review)


def load(folder: RunFolder) -> Review | None:
    """The review of a run; None where none was begun.

    Raises:
        RunError: If it is damaged, or about models that are no longer there.
    """
    if not folder.review.exists():
        return None
    anew = "begin a new one with --anew, which forgets its answers."
    if problems := folder.manifest.problems(folder.review):
        raise RunError(f"{problems[0]} Restore the file, or {anew}")
    with as_written(folder.path):
        values = json.loads(folder.review.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise RunError(f"{folder.review}: was written by another version of nlp_adapt; {anew}")
        items = [Item.from_dict(one) for one in values.pop("items")]
        found = Review(**values, items={item.id: item for item in items})
        found.labels, found.first_look = tuple(found.labels), tuple(found.first_look)
        if not all(isinstance(one, str) for one in found.labels):
            raise TypeError("a label of review.json is no text")
    if found.models != models_hash(folder):
        raise RunError(f"{folder.path}: its models have changed since the review began; {anew}")
    return found


def models_hash(folder: RunFolder) -> str:
    """A hash of the weights of both models."""
    sums = [
        checksums(sorted(path.glob("*.safetensors")), path)
        for path in (folder.adapted_model, folder.source_only)
    ]
    return text_hash(json.dumps(sums))
