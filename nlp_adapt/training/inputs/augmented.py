"""Edited copies of the labelled source rows, made once before training.

They are kept in the run's folder, as people can read them: a resumed run trains on the same copies,
and all processes on those that the first one made.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Features

from nlp_adapt.augmentation.rows import RowEditor
from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.files import text_hash, write_text
from nlp_adapt.modeling.architectures import plain_model
from nlp_adapt.modeling.masked_lm import language_model_of
from nlp_adapt.modeling.tokenizers import load_tokenizer

LOGGER = logging.getLogger("nlp_adapt")
SALT = 21
FORMAT = 1


@dataclass(frozen=True)
class Copies:
    """Edited copies of the rows of each source.

    Attributes:
        datasets: The copies of each source that has any, in canonical columns.
    """

    datasets: list[Any]
    sources: list[int]
    report: dict[str, Any]


@dataclass(frozen=True)
class RowAugmentation:
    """Makes the copies that a run asks for.

    Attributes:
        kept: Where the copies are kept; only a run writes there.
        accelerator: The run's; None outside of a run.
    """

    config: AdaptationConfig
    model: Any
    tokenizer: Any
    max_length: int
    kept: Path
    accelerator: Any = None

    def copies(
        self, labelled: Sequence[Any], unlabelled: Sequence[Any], train: Mapping[str, EncodedRows]
    ) -> Copies:
        """The copies of the labelled rows, read from where they are kept or made now."""
        key = self._key([*labelled, *unlabelled])
        with self._first_process_first():
            found = read_rows(self.kept, key)
            if found is None:
                found = self._make(labelled, unlabelled, train)
                if self.accelerator is not None and self.accelerator.is_main_process:
                    write_rows(self.kept, key, *found)
        rows, report = found
        if not rows:
            LOGGER.warning(
                "augment: %s changed no row of the source, so there are no copies to train on.",
                self.config.augment,
            )
        sources = sorted({row["source"] for row in rows})
        datasets = [
            _dataset([row for row in rows if row["source"] == source], labelled[source])
            for source in sources
        ]
        return Copies(datasets, sources, report)

    def _make(
        self, labelled: Sequence[Any], unlabelled: Sequence[Any], train: Mapping[str, EncodedRows]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        config, tokenizer, model = self.config, self.tokenizer, None
        if config.augment == "infill":
            name = config.augment_model
            model = language_model_of(
                self.model,
                tokenizer,
                [(rows.ids, rows.offsets) for rows in train.values()],
                name=name,
                seed=config.seed,
                device=None if self.accelerator is None else self.accelerator.device,
            )
            tokenizer = tokenizer if name is None else load_tokenizer(name)
        editor = RowEditor(
            config.augment,
            config.augment_rate,
            labelled,
            unlabelled,
            tokenizer=tokenizer,
            embeddings=self.model.get_input_embeddings().weight,
            language_model=model,
            max_length=self.max_length,
        )
        seed = (config.seed, SALT)
        rows, counts = editor.copies(config.augment_copies, seed, not config.disable_tqdm)
        report = {
            "edit": config.augment,
            "copies": config.augment_copies,
            "rate": config.augment_rate,
            "texts": len(rows),
            "unchanged": counts["unchanged"],
            "edited_words": round(counts["edited"] / max(counts["words"], 1), 4),
            "fitted_head": model is not None and model.fitted,
        }
        return rows, report

    def _key(self, datasets: Sequence[Any]) -> str:
        """Changes with everything that the copies depend on."""
        config = self.config
        path = getattr(plain_model(self.model).config, "_name_or_path", "")
        parts = [config.augment, config.augment_copies, config.augment_rate, config.augment_model]
        digest = hashlib.sha256(repr([*parts, config.seed, self.max_length, path]).encode())
        for dataset in datasets:
            digest.update(f"\n{len(dataset)}\n".encode())
            for name in sorted({"text", "tokens", "label", "labels"} & set(dataset.column_names)):
                for value in dataset[name]:
                    digest.update(json.dumps(value).encode())
        return digest.hexdigest()

    def _first_process_first(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.accelerator is None else self.accelerator.main_process_first()


def write_rows(
    path: Path, key: str, rows: Sequence[Mapping[str, Any]], report: Mapping[str, Any]
) -> None:
    """Write JSON lines: a header that vouches for the rows, then one row a line."""
    body = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    header = {"format": FORMAT, "key": key, "sha256": text_hash(body), "report": report}
    write_text(path, f"{json.dumps(header)}\n{body}")


def read_rows(path: Path, key: str) -> tuple[list[dict[str, Any]], dict[str, Any]] | None:
    """The rows that `write_rows` wrote for the same key, and the report; None where there are none.

    Args:
        path: The file; one that is damaged counts as missing, with a warning.
    """
    if not path.is_file():
        return None
    try:
        first, _, body = path.read_text("utf-8", "surrogatepass").partition("\n")
        header = json.loads(first)
        if header["format"] != FORMAT or header["key"] != key:
            return None
        if header["sha256"] != text_hash(body):
            raise ValueError("its checksum differs")
        return [json.loads(line) for line in body.split("\n")[:-1]], header["report"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        LOGGER.warning("%s: damaged (%s), so the rows are made anew.", path, error)
        return None


def _dataset(rows: Sequence[Mapping[str, Any]], original: Any) -> Any:
    """Rows like those of another data set, with its canonical columns and its label names."""
    names = [name for name in ("text", "tokens", "row", "label", "labels") if name in rows[0]]
    features = Features({name: original.features[name] for name in names})
    return Dataset.from_dict({name: [row[name] for row in rows] for name in names}, features)
