"""The part of `nlp-adapt predict` that is for text classifiers: one label for each text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_adapt.data.columns import ReadOptions, find_text, has_text, read_text
from nlp_adapt.data.labels import NO_LABELS
from nlp_adapt.data.reading.rows import Row, table_of
from nlp_adapt.prediction.files.labeller import Answer, Labeller

LABEL, SCORE = "label", "score"


class TextLabeller(Labeller):
    """Labels texts."""

    @property
    def labels(self) -> Sequence[str]:
        """The model's labels."""
        return self.predictor.label_names

    def find_column(self, first: Sequence[Row], columns: Sequence[str], origin: str) -> str:
        """The column of texts."""
        options = ReadOptions(
            task=self.predictor.task.name, text_column=self.text_column, label_column=NO_LABELS
        )
        return find_text(table_of(first, origin, columns), options)[0]

    def types(self) -> dict[str, Any]:
        """`label`, `score` and what was asked for."""
        scores = [f"score_{name}" for name in self.labels] if self.all_scores else []
        distances = [] if self.likeness is None else self.likeness.columns
        return {LABEL: "string", **dict.fromkeys((SCORE, *scores, *distances), "float64")}

    def read(self, value: Any) -> str | None:
        """The text as tokenizers can read it."""
        text = read_text(value)
        return text if has_text(text) else None

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
