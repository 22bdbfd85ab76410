"""The part of `nlp-adapt predict` that is for text classifiers: one label for each text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_adapt.data.columns import NO_LABELS, ReadOptions, encodable, find_text
from nlp_adapt.data.reading.chunks import Chunk
from nlp_adapt.prediction.files.labeller import Answer, Labeller, UnusableCellError
from nlp_adapt.prediction.files.writing import SUFFIXES

LABEL, SCORE = "label", "score"


class TextLabeller(Labeller):
    """Labels texts."""

    suffixes = SUFFIXES

    @property
    def labels(self) -> Sequence[str]:
        """The model's labels."""
        return self.predictor.label_names

    def find_column(self, first: Chunk, columns: Sequence[str], origin: str) -> str:
        """The column of texts."""
        options = ReadOptions(
            task=self.predictor.task.name, text_column=self.text_column, label_column=NO_LABELS
        )
        return find_text(first.table(columns, origin), options)[0]

    def types(self) -> dict[str, Any]:
        """`label`, `score` and what was asked for."""
        scores = [f"score_{name}" for name in self.labels] if self.all_scores else []
        distances = [] if self.likeness is None else self.likeness.columns
        return {LABEL: "string", **dict.fromkeys((SCORE, *scores, *distances), "float64")}

    def read(self, value: Any) -> str | None:
        """The text as tokenizers can read it."""
        if is_missing(value):
            return None
        if not isinstance(value, str):
            raise UnusableCellError(f"it holds a {type(value).__name__} where text is expected.")
        return encodable(value) if value.strip() else None

    def answer(self, inputs: list[str]) -> list[Answer]:
        """Label and scores of each text."""
        extra: Sequence[Mapping[str, float]] = [{}] * len(inputs)
        if self.likeness is None:
            predictions = self.predictor.predict(inputs)
        else:
            predictions, features = self.predictor.predict_with_features(inputs)
            extra = self.likeness.rows(features)
        return [
            Answer(
                {
                    LABEL: prediction["label"],
                    SCORE: round(prediction["score"], 6),
                    **{f"score_{name}": round(s, 6) for name, s in prediction["scores"].items()},
                    **likeness,
                },
                (prediction["label"],),
            )
            for prediction, likeness in zip(predictions, extra, strict=True)
        ]

    def blank(self) -> Answer:
        """Empty cells."""
        return Answer({}, ())


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, or the NaN that data frames put in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))
