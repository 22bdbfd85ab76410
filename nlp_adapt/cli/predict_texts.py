"""The part of `nlp-adapt predict` that labels one text a row, a chunk of rows at a time."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_adapt.cli.parts import Parts
from nlp_adapt.cli.writing import SUFFIXES, RowFormat, check_format
from nlp_adapt.data.chunks import Chunk, Rejected, RowFile
from nlp_adapt.errors import DataError

ROWS_AT_A_TIME = 4096
LABEL, SCORE = "label", "score"


@dataclass
class LabelRows:
    """Labels the rows of a file and writes them with the new columns.

    Args:
        predictor: A predictor for sentence classification.
        rows: The input.
        out: The output.
        text_column: The column of texts; None recognises it.
        all_scores: Whether to write the score of every label.
        likeness: Says how far texts are from the training domains; None leaves it out.
        process: Number of this process, and how many there are: each does its own chunks.
    """

    predictor: Any
    rows: RowFile
    out: Path
    text_column: str | None = None
    all_scores: bool = False
    likeness: Any = None
    process: tuple[int, int] = (0, 1)
    chunk_rows: int = ROWS_AT_A_TIME
    text: str = field(init=False, default="")
    columns: list[str] = field(init=False, default_factory=list)
    added: dict[str, str] = field(init=False, default_factory=dict)

    def prepare(self) -> None:
        """Look at the columns before any work is done.

        Raises:
            DataError: There is no text column, or a new column has the name of an old one.
        """
        self.columns = self.rows.columns()
        self.text = self._find_text()
        added = [LABEL, SCORE]
        if self.all_scores:
            added += [f"score_{name}" for name in self.predictor.label_names]
        if self.likeness is not None:
            added += self.likeness.columns
        self.added = _without_clashes(added, self.columns, str(self.rows.path))

    def run(self, parts: Parts) -> None:
        """Label what is not done yet."""
        from tqdm import tqdm

        number, of = self.process
        out = self._format()
        bar = tqdm(unit="row", file=sys.stderr, disable=None if number == 0 else True, leave=False)
        with bar:
            for index, chunk in enumerate(self.rows.chunks(self.chunk_rows)):
                if index % of == number and not parts.is_done(index):
                    records, rejected, summary = self._label(chunk)
                    places = [row for row, _ in records]
                    data = out.encode([record for _, record in records], places)
                    parts.write(index, data, [vars(row) for row in rejected], summary)
                bar.update(len(chunk))

    def finish(self, parts: Parts) -> dict[str, Any]:
        """Join the parts; what was done, in numbers."""
        total: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        for summary in parts.summaries():
            labels.update(summary.pop("labels"))
            total.update(summary)
        if not total["rows"]:
            problem = parts.first_rejected()
            found = f"holds no row that can be read; {problem}" if problem else "holds no rows."
            raise DataError(f"{self.rows.path} {found}")
        parts.join(self._format().merge)
        counts = {name: labels[name] for name in self.predictor.label_names}
        return {**{name: total[name] for name in _COUNTED}, "labels": counts}

    def _format(self) -> RowFormat:
        """How the output is written."""
        return RowFormat(
            suffix=check_format(self.out, SUFFIXES),
            columns=[*self.columns, *self.added.values()],
            numbers=[name for key, name in self.added.items() if key != LABEL],
            texts=[self.added[LABEL]],
            gzipped=self.out.name.lower().endswith(".gz"),
            features=self.rows.features(),
        )

    def _find_text(self) -> str:
        from nlp_adapt.data.examples import NO_LABELS, ReadOptions, _find_text

        first = next(iter(self.rows.chunks(100)), Chunk())
        options = ReadOptions(
            task=self.predictor.task.name, text_column=self.text_column, label_column=NO_LABELS
        )
        column, _ = _find_text(first.table(self.columns, str(self.rows.path)), options, False)
        values = [record.get(column) for record in first.records]
        wrong = [value for value in values if not (_is_missing(value) or isinstance(value, str))]
        if values and len(wrong) == len(values):
            raise DataError(
                f"{first.rows[0]} holds a {type(wrong[0]).__name__} where text is expected: "
                "name another column with text_column."
            )
        return column

    def _label(
        self, chunk: Chunk
    ) -> tuple[list[tuple[str, dict[str, Any]]], list[Rejected], dict[str, Any]]:
        """The rows with their new columns, the rows set aside, and counts."""
        kept, rejected = [], list(chunk.rejected)
        for row, record in zip(chunk.rows, chunk.records, strict=True):
            value = record.get(self.text)
            if _is_missing(value) or isinstance(value, str):
                kept.append((row, record))
            else:
                reason = f"it holds a {type(value).__name__} where text is expected."
                rejected.append(Rejected(row, reason, record))
        rejected.sort(key=lambda row: int(row.row.rpartition(":")[2]))
        texts = [_text(record.get(self.text)) for _, record in kept]
        answers = iter(self._predict([text for text in texts if text.strip()]))
        counts: Counter[str] = Counter()
        records = []
        for (row, record), text in zip(kept, texts, strict=True):
            answer: Mapping[str, Any] = dict.fromkeys(self.added)
            if text.strip():
                answer = next(answers)
                counts[answer[LABEL]] += 1
            named = {name: answer[key] for key, name in self.added.items()}
            records.append((row, {**record, **named}))
        summary = {
            "rows": len(records),
            "without_text": len(records) - sum(counts.values()),
            "rejected": len(rejected),
            "labels": dict(counts),
        }
        return records, rejected, summary

    def _predict(self, texts: list[str]) -> list[dict[str, Any]]:
        if not texts:
            return []
        extra: Sequence[Mapping[str, float]] = [{}] * len(texts)
        if self.likeness is None:
            predictions = self.predictor.predict(texts)
        else:
            predictions, features = self.predictor.predict_with_features(texts)
            extra = self.likeness.rows(features)
        return [
            {
                LABEL: prediction["label"],
                SCORE: round(prediction["score"], 6),
                **{f"score_{name}": round(s, 6) for name, s in prediction["scores"].items()},
                **likeness,
            }
            for prediction, likeness in zip(predictions, extra, strict=True)
        ]


_COUNTED = ("rows", "without_text", "rejected")


def _without_clashes(added: Sequence[str], columns: Sequence[str], origin: str) -> dict[str, str]:
    """The new columns under names that the input does not have."""
    if not any(name in columns for name in added):
        return {name: name for name in added}
    renamed = {name: f"predicted_{name}" for name in added}
    for name in renamed.values():
        if name in columns:
            raise DataError(
                f"{origin} already has a column '{name}': rename it, so that it is not lost."
            )
    return renamed


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    """A text as tokenizers can read it: U+FFFD for half a surrogate pair."""
    text = value if isinstance(value, str) else ""
    return (
        text
        if text.isascii()
        else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def key_of(rows: RowFile, model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the parts of an output depend on: input, model and options."""
    stat = rows.path.stat()
    weights = sorted(Path(model).rglob("*.safetensors")) if Path(model).is_dir() else []
    return {
        "input": [str(rows.path.resolve()), stat.st_size, stat.st_mtime_ns],
        "model": [model, [[path.name, path.stat().st_mtime_ns] for path in weights]],
        "options": dict(options),
    }
