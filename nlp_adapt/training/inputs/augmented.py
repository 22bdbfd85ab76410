"""Edited copies of the labelled source rows, made once before training.

They are kept in the run's folder, as people can read them: a resumed run trains on the same copies,
and all processes on those that the first one made.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_adapt.augmentation.row_edits import Corpus, Edit, edited_rows, row_edit
from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import encoder_of, longest_input, plain_model
from nlp_adapt.modeling.backbone import load_tokenizer
from nlp_adapt.modeling.masked_lm import (
    MaskedLanguageModel,
    language_model,
    named_language_model,
)
from nlp_adapt.modeling.mlm_head import load_mlm_head
from nlp_adapt.training.inputs.kept_rows import read_rows, write_rows

LOGGER = logging.getLogger("nlp_adapt")
SALT = 21


@dataclass(frozen=True)
class Copies:
    """Edited copies of the rows of each source.

    Attributes:
        datasets: The copies of each source that has any, in canonical columns.
        sources: Which source each belongs to.
        report: For results.json: what was done, and how much of it.
    """

    datasets: list[Any]
    sources: list[int]
    report: dict[str, Any]


@dataclass(frozen=True)
class RowAugmentation:
    """Makes the copies that a run asks for.

    Attributes:
        config: The run's options.
        model: Its task model as pretrained; used up here.
        tokenizer: Its tokenizer.
        max_length: Longest row in tokens.
        accelerator: The run's; None outside of a run.
        kept: Where the copies are kept; only a run writes there.
    """

    config: AdaptationConfig
    model: Any
    tokenizer: Any
    max_length: int
    kept: Path
    accelerator: Any = None

    def copies(
        self,
        labelled: Sequence[Any],
        unlabelled: Sequence[Any],
        train: Mapping[str, EncodedRows],
    ) -> Copies:
        """The copies of the labelled rows, read from where they are kept or made now.

        Args:
            labelled: The training rows of each source.
            unlabelled: The texts of each target, without labels.
            train: The same rows, tokenised.

        Raises:
            AdaptationError: If the edit cannot be made with this model or data.
        """
        key = self._key([*labelled, *unlabelled])
        with self._first_process_first():
            found = read_rows(self.kept, key, labelled)
            if found is None:
                found = self._make(labelled, unlabelled, train)
                if self.accelerator is not None and self.accelerator.is_main_process:
                    write_rows(self.kept, key, *found)
        datasets, report = found
        filled = [index for index, dataset in enumerate(datasets) if len(dataset)]
        if not filled:
            LOGGER.warning(
                "augment: %s changed no row of the source, so there are no copies to train on.",
                self.config.augment,
            )
        return Copies([datasets[index] for index in filled], filled, report)

    def _make(
        self,
        labelled: Sequence[Any],
        unlabelled: Sequence[Any],
        train: Mapping[str, EncodedRows],
    ) -> tuple[list[Any], dict[str, Any]]:
        config = self.config
        corpora = [Corpus.of(dataset) for dataset in labelled]
        edit, fitted = self._edit(corpora, unlabelled, train)
        made = [
            edited_rows(dataset, corpus, edit, config.augment_copies, (config.seed, SALT, index))
            for index, (dataset, corpus) in enumerate(zip(labelled, corpora, strict=True))
        ]
        words = sum(one.words for one in made)
        report = {
            "edit": config.augment,
            "copies": config.augment_copies,
            "rate": config.augment_rate,
            "texts": sum(len(one.dataset) for one in made),
            "unchanged": sum(one.unchanged for one in made),
            "edited_words": round(sum(one.edited for one in made) / words, 4) if words else 0.0,
            "fitted_head": fitted,
        }
        return [one.dataset for one in made], report

    def _edit(
        self,
        corpora: Sequence[Corpus],
        unlabelled: Sequence[Any],
        train: Mapping[str, EncodedRows],
    ) -> tuple[Edit, bool]:
        """The edit, and whether a language model's head was fitted for it."""
        config, tokenizer, model = self.config, self.tokenizer, None
        needs: dict[str, Any] = {}
        if config.augment == "infill":
            model, tokenizer = self._language_model(train)
            limit = longest_input(model.encoder.config, tokenizer)
            needs = {"language_model": model, "max_length": min(self.max_length, limit)}
        elif config.augment == "domain_terms" and unlabelled:
            weights = self.model.get_input_embeddings().weight
            needs = {
                "embeddings": weights.detach().float().cpu().numpy(),
                "target": Corpus.joined([Corpus.of(dataset) for dataset in unlabelled]),
            }
        edit = row_edit(
            config.augment,
            config.augment_rate,
            source=Corpus.joined(corpora),
            tokenizer=tokenizer,
            show_progress=not config.disable_tqdm,
            **needs,
        )
        return edit, model is not None and model.fitted

    def _language_model(self, train: Mapping[str, EncodedRows]) -> tuple[MaskedLanguageModel, Any]:
        """The named language model or the encoder's own, and its tokenizer."""
        device = None if self.accelerator is None else self.accelerator.device
        name = self.config.augment_model
        if name is not None:
            return named_language_model(name, device), load_tokenizer(name)
        path = getattr(plain_model(self.model).config, "_name_or_path", "")
        head = load_mlm_head(path, self.model) if path else None
        texts = [(rows.ids, rows.offsets) for rows in train.values()]
        encoder = encoder_of(self.model).to(device)
        return language_model(
            encoder, head, self.tokenizer, texts, self.config.seed
        ), self.tokenizer

    def _key(self, datasets: Sequence[Any]) -> str:
        """Changes with everything that the copies depend on."""
        digest = hashlib.sha256()
        config = self.config
        parts = [config.augment, config.augment_copies, config.augment_rate, config.augment_model]
        parts += [
            config.seed,
            self.max_length,
            getattr(plain_model(self.model).config, "_name_or_path", ""),
        ]
        for part in _contents(datasets):
            digest.update(part.encode("utf-8", "surrogatepass"))
        return hashlib.sha256(f"{parts}:{digest.hexdigest()}".encode()).hexdigest()

    def _first_process_first(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.accelerator is None else self.accelerator.main_process_first()


def row_augmentation(
    config: AdaptationConfig,
    model: Callable[[], Any],
    tokenizer: Any,
    max_length: int,
    kept: Path,
    accelerator: Any = None,
) -> RowAugmentation | None:
    """What makes the copies that a run asks for, or None where it asks for none.

    Args:
        config: The run's options.
        model: Loads its task model as pretrained; called only where copies are made.
        tokenizer: Its tokenizer.
        max_length: Longest row in tokens.
        kept: Where the copies are kept; only a run writes there.
        accelerator: The run's; None outside of a run.
    """
    if config.augment == "none":
        return None
    return RowAugmentation(config, model(), tokenizer, max_length, kept, accelerator)


def check_augmentation(config: AdaptationConfig, has_target: bool) -> None:
    """Refuse, before anything is loaded, copies that need a target where there is none.

    Raises:
        ConfigError: If they do.
    """
    if config.augment == "domain_terms" and not has_target:
        raise ConfigError("augment: domain_terms needs a target domain: set `target`.")


def _contents(datasets: Sequence[Any]) -> Iterator[str]:
    for dataset in datasets:
        yield f"\n{len(dataset)}\n"
        for name in sorted({"text", "tokens", "label", "labels"} & set(dataset.column_names)):
            for value in dataset[name]:
                yield json.dumps(value)
