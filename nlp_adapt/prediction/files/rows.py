"""Labelling a file a chunk of rows at a time: what texts and words have in common.

Every row of the input comes out once, in its place and with its columns, or goes to the rows that
were set aside, with the reason.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nlp_adapt.data.reading.files import RowFile
from nlp_adapt.data.reading.rows import Row, UnusableCellError
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.escaping import for_bars
from nlp_adapt.prediction.files.labellers import Labeller
from nlp_adapt.prediction.files.parts import Parts
from nlp_adapt.prediction.files.writers import WRITERS
from nlp_adapt.prediction.files.writing import LabelledRow, Layout, Writer

CHARACTERS_AT_A_TIME = 4 * 1024**2
FIRST_ROWS = 100
COUNTED = ("rows", "without_text", "rejected")


@dataclass
class LabelledRows:
    """The `rows` of a file with what `labeller` adds.

    Args:
        ending: Ending of the output's name, one of `WRITERS`.
        chunk_rows: Most rows at a time.
    """

    labeller: Labeller
    rows: RowFile
    ending: str
    chunk_rows: int
    gzipped: bool = False
    column: str = field(init=False, default="")
    writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        """Look at the columns before any work is done, and refuse those that cannot be used."""
        columns, origin = self.rows.columns(), str(self.rows.path)
        chunk = next(self.rows.chunks(FIRST_ROWS, CHARACTERS_AT_A_TIME), [])
        first = [row for row in chunk if row.record is not None]
        self.column = self.labeller.find_column(first, columns, origin)
        self._refuse_unusable(first)
        kind = WRITERS[self.ending]
        extras = {"all_scores": self.labeller.all_scores, "domain_likeness": self.labeller.likeness}
        for name, wanted in extras.items():
            if wanted and kind.of_words:  # tagged words alone
                raise ConfigError(
                    f"--{name} has no place in {self.ending[1:]}: write csv, jsonl or parquet."
                )
        self.writer = kind(
            Layout(
                columns=columns,
                names=self.labeller.names(columns, origin),
                types=self.labeller.types(),
                gzipped=self.gzipped,
                features=self.rows.features(),
                line_per_token=self.rows.line_per_token,
                labels=self.labeller.labels,
            )
        )

    def chunks(self) -> Iterator[tuple[int, list[Row]]]:
        """Every chunk with its number."""
        return enumerate(self.rows.chunks(self.chunk_rows, CHARACTERS_AT_A_TIME))

    def run(self, parts: Parts) -> None:
        """Label what is not done yet, part by part."""
        done = parts.done()
        for index, chunk in self._with_bar():
            if index not in done:
                parts.write(index, *self.label(chunk))

    def stream(self) -> Iterator[tuple[bytes, list[dict[str, Any]], dict[str, Any]]]:
        """The output piece by piece: its bytes, the rows set aside, and counts."""
        yield self.writer.start(), [], {"labels": {}}
        for _, chunk in self._with_bar():
            yield self.label(chunk)

    def finish(self, parts: Parts) -> dict[str, Any]:
        """Join the parts, and give the counts."""
        summary = self.total(parts.summaries())
        self.require_rows(summary, parts.first_rejected())
        parts.join(lambda files, staged: self.writer.merge(files, staged, summary))
        return summary

    def total(self, summaries: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
        """The counts of all chunks together."""
        total: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        for summary in summaries:
            labels.update(summary["labels"])
            total.update({name: summary.get(name, 0) for name in COUNTED})
        counts = {name: labels[name] for name in self.labeller.labels}
        return {**{name: total[name] for name in COUNTED}, "labels": counts}

    def require_rows(self, summary: Mapping[str, Any], problem: str | None) -> None:
        """Refuse an input without rows, or with `problem` in each of them."""
        if not summary["rows"]:
            found = f"holds no row that can be read; {problem}" if problem else "holds no rows."
            raise DataError(f"{self.rows.path} {found}")

    def _refuse_unusable(self, first: Sequence[Row]) -> None:
        """Refuse a column that holds something else than text in all of the first rows."""
        reason = ""
        for row in first:
            try:
                self.labeller.read((row.record or {}).get(self.column))
            except UnusableCellError as error:
                reason = reason or error.reason
            else:
                return
        if reason:
            raise DataError(
                f"{first[0].place} cannot be used, nor can any of the first {len(first):,} rows: "
                f"it {reason}. Name another column with text_column."
            )

    def _with_bar(self) -> Iterator[tuple[int, list[Row]]]:
        """The chunks, under a progress bar."""
        from tqdm import tqdm

        with tqdm(unit="row", file=for_bars(), disable=None, leave=False) as bar:
            for index, chunk in self.chunks():
                yield index, chunk
                bar.update(len(chunk))

    def label(self, chunk: Sequence[Row]) -> tuple[bytes, list[dict[str, Any]], dict[str, Any]]:
        """The rows as bytes, the rows set aside, and counts."""
        kept, rejected = [], []
        for row in chunk:
            if row.record is None:
                reason, content = row.reason, row.content
            else:
                try:
                    value = self.labeller.read(row.record.get(self.column))
                    kept.append((row.place, row.record, value))
                    continue
                except UnusableCellError as error:
                    reason, content = f"it {error.reason}.", row.record
            rejected.append({"row": row.place, "reason": reason, "content": content})
        inputs = [value for _, _, value in kept if value is not None]
        answers, blank = iter(self.labeller.answer(inputs) if inputs else []), self.labeller.blank()
        counts: Counter[str] = Counter()
        labelled = []
        for place, record, value in kept:
            answer = blank if value is None else next(answers)
            counts.update(answer.labels)
            labelled.append(LabelledRow(place, record, answer.values))
        summary = {
            "rows": len(kept),
            "without_text": len(kept) - len(inputs),
            "rejected": len(rejected),
            "labels": dict(counts),
        }
        return self.writer.encode(labelled), rejected, summary
