"""The data of a run: its domains split, checked and tokenised, target labels left behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows, concatenate
from nlp_adapt.data.batches.mixing import is_apart
from nlp_adapt.data.batches.words import encode_texts
from nlp_adapt.data.domain import Domain, hold_out_validation, shuffled_head
from nlp_adapt.data.label_spaces import label_space
from nlp_adapt.modeling.tokenizers import for_words
from nlp_adapt.tasks import TASKS, Task
from nlp_adapt.training.inputs.augmented import RowAugmentation
from nlp_adapt.training.inputs.auxiliary import AuxiliaryTask
from nlp_adapt.training.inputs.domains import Inputs
from nlp_adapt.training.inputs.few_shot import without_rows_of

if TYPE_CHECKING:
    from nlp_adapt.training.inputs.teacher import Teacher

SAMPLE_ROWS = 1000
FEW_SHOT = "few_shot"


@dataclass(frozen=True)
class EvaluationSet:
    """Labelled rows to score a model on: the data set, and its tokenised rows.

    `drawn_from` counts the rows that there are, where only some of them are read.
    """

    dataset: Any
    encoded: EncodedRows
    drawn_from: int | None = None


@dataclass(frozen=True)
class RunData:
    """What training and evaluation read.

    Attributes:
        train: Rows to train on by side: `source` with labels, `target` without, if there is one,
            `few_shot`, labelled target rows that the user has released, if there are some, and
            `auxiliary/NAME`, the labelled rows of an auxiliary task.
            Where a side holds several domains, `EncodedRows.domains` tells them apart.
        evaluation: Labelled rows of each domain, by its name, of each part: `source_validation`,
            `source_test` and `target_test`.
        train_texts: How many texts each domain of a side trains on; a long one may be several rows.
        target_sample: Some of the target's training rows, unlabelled, for label-free scores.
        labelled_sample: The released rows, if they are to tell the target's class shares.
        copies: Edited copies of the source's rows, if the run has any.
        auxiliary_validation: Held-out rows of auxiliary tasks by name, where there are any.
    """

    task: Task
    train: Mapping[str, EncodedRows]
    evaluation: Mapping[str, Mapping[str, EvaluationSet]]
    max_length: int
    train_texts: Mapping[str, Mapping[str, int]]
    target_sample: EncodedRows | None = None
    labelled_sample: EncodedRows | None = None
    copies: EncodedRows | None = None
    augmentation: Mapping[str, Any] | None = None
    auxiliary_validation: Mapping[str, EncodedRows] = field(default_factory=dict)

    def names(self, side: str) -> tuple[str, ...]:
        """What the domains of a side are called, in the order of their indices."""
        return tuple(self.train_texts.get(side, ()))

    def without_few_shot(self) -> dict[str, EncodedRows]:
        """The training rows of a model that sees no label but the source's main ones."""
        return {
            side: rows
            for side, rows in self.train.items()
            if side != FEW_SHOT and not is_apart(side)
        }

    @property
    def scored_rows(self) -> list[EncodedRows]:
        """Every row that a run scores its models on, without labels."""
        parts = [rows.encoded for sets in self.evaluation.values() for rows in sets.values()]
        parts += [] if self.target_sample is None else [self.target_sample]
        return [part.without_labels() for part in parts]

    @property
    def tells_more(self) -> bool:
        """Whether the adapted model learns from labels of the target, or from a teacher's answers."""
        taught = any(rows.teacher is not None for rows in self.train.values())
        return taught or FEW_SHOT in self.train or self.labelled_sample is not None

    @cached_property
    def with_copies(self) -> Mapping[str, EncodedRows]:
        """The training rows of the adapted model."""
        if self.copies is None:
            return self.train
        return {**self.train, "source": joined_rows([self.train["source"], self.copies])}


def make_task(config: AdaptationConfig, domains: Inputs) -> Task:
    """The task of a run with its label names, matched between all domains by name."""
    return TASKS[config.task](label_space(domains.sources, domains.targets))


def prepare_data(
    config: AdaptationConfig,
    task: Task,
    domains: Inputs,
    tokenizer: Any,
    max_length: int,
    augmentation: RowAugmentation | None = None,
    teacher: "Teacher | None" = None,
) -> RunData:
    """Split, limit and tokenise all domains.

    A source's validation rows are its own, or a share of its training rows. A target's training
    rows lose their labels here, before anything that trains or selects sees them; rows that the
    user has released for training are apart from them, and not among the test rows.
    """
    encoder = _Encoder(config, task, tokenizer, max_length, teacher)
    names = task.label_names
    sources = [encoder.with_validation(one.with_labels(names)) for one in domains.sources]
    targets = [one.with_labels(names) for one in _unreleased(domains)]
    train: dict[str, EncodedRows] = {}
    texts: dict[str, dict[str, int]] = {}
    kept = [shuffled_head(one.train, config.max_source_rows, config.seed) for one in sources]
    texts["source"] = _counts(sources, kept)
    train["source"] = encoder.join("source", kept, range(len(kept)))
    indices = {one.name: len(sources) + place for place, one in enumerate(targets)}
    unlabelled = [
        shuffled_head(one.without_labels(), config.max_target_rows, config.seed) for one in targets
    ]
    if targets:
        texts["target"] = _counts(targets, unlabelled)
        train["target"] = encoder.join("target", unlabelled, [*indices.values()], labelled=False)
    few = domains.few_shot.items()
    released: dict[str, Any] = {name: one.with_labels(names).train for name, one in few}
    if released:
        texts[FEW_SHOT] = {name: len(rows) for name, rows in released.items()}
        rows = encoder.join(FEW_SHOT, [*released.values()], [indices[name] for name in released])
        if config.few_shot_use != "bias":
            train[FEW_SHOT] = rows
    made = None if augmentation is None else augmentation.copies(kept, unlabelled, train)
    task.remember(_all_rows([*kept, *released.values()]))
    auxiliary, held_out = encoder.auxiliary(domains.auxiliary)
    return RunData(
        task=task,
        train={**train, **auxiliary},
        evaluation={
            "source_validation": encoder.evaluation(sources, "validation"),
            "source_test": encoder.evaluation(sources, "test"),
            "target_test": encoder.evaluation(targets, "test"),
        },
        max_length=max_length,
        train_texts=texts,
        target_sample=_sample(train["target"], config.seed) if targets else None,
        labelled_sample=rows if released and config.few_shot_use != "train" else None,
        copies=encoder.join("source", made.datasets, made.sources)
        if made and made.sources
        else None,
        augmentation=made.report if made else None,
        auxiliary_validation=held_out,
    )


def _unreleased(domains: Inputs) -> list[Domain]:
    """The targets, their test rows without those that the user has released for training."""
    targets = list(domains.targets)
    for released in domains.few_shot.values():  # of one target, and perhaps in another's test rows
        targets = [without_rows_of(target, released) for target in targets]
    return targets


@dataclass
class _Encoder:
    """Tokenises the rows of a run, with what its teacher says of them if there is one."""

    config: AdaptationConfig
    task: Task
    tokenizer: Any
    max_length: int
    teacher: "Teacher | None" = None

    def join(
        self, side: str, datasets: Sequence[Any], indices: Sequence[int], labelled: bool = True
    ) -> EncodedRows:
        """Training rows of a side, those of the domains with these indices one after the other."""
        parts = []
        for dataset, index in zip(datasets, indices, strict=True):
            rows = self.task.encode(dataset, self.tokenizer, self.max_length)
            rows = (rows if labelled else rows.without_labels()).in_domain(index)
            if self.teacher is not None and side in self.teacher.sides:
                rows = self.teacher.answer(rows, dataset)
            parts.append(rows)
        return joined_rows(parts)

    def auxiliary(
        self, tasks: Mapping[str, AuxiliaryTask]
    ) -> tuple[dict[str, EncodedRows], dict[str, EncodedRows]]:
        """Training rows by side, and held-out rows by task, where a task has any."""
        train, held_out = {}, {}
        for name, task in tasks.items():
            rows = task.rows
            rows = replace(rows, validation=rows.validation or rows.test, test=None)
            rows = self.with_validation(rows)
            train[task.spec.side] = self._auxiliary_rows(rows, rows.train)
            if rows.validation is not None:
                held_out[name] = self._auxiliary_rows(rows, rows.validation)
        return train, held_out

    def _auxiliary_rows(self, rows: Domain, dataset: Any) -> EncodedRows:
        """As words where these carry the labels, or the run is about words."""
        own = TASKS[rows.task](rows.label_names or ())
        tokenizer, words = self.tokenizer, self.task.units_are_words
        if words and not own.units_are_words:
            return encode_texts(dataset["text"][:], tokenizer, self.max_length, dataset["label"][:])
        if own.units_are_words and not words:
            tokenizer = for_words(tokenizer)
        return own.encode(dataset, tokenizer, self.max_length)

    def with_validation(self, domain: Domain) -> Domain:
        """The domain with validation rows, as the run holds them out."""
        return hold_out_validation(domain, self.config.validation_fraction, self.config.seed)

    def evaluation(self, domains: Sequence[Domain], split: str) -> dict[str, EvaluationSet]:
        """The rows of a split of each domain that has any."""
        found = {}
        for domain in domains:
            dataset = getattr(domain, split)
            if dataset is not None and len(dataset):
                every = len(dataset)
                if split == "test":
                    dataset = shuffled_head(dataset, self.config.max_test_rows, self.config.seed)
                encoded = self.task.encode(dataset, self.tokenizer, self.max_length)
                drawn_from = every if len(dataset) < every else None
                found[domain.name] = EvaluationSet(dataset, encoded, drawn_from)
        return found


def joined_rows(parts: Sequence[EncodedRows]) -> EncodedRows:
    """Rows one after the other, with what a teacher says of them if it was asked."""
    joined = concatenate(parts)
    logits = [part.teacher for part in parts if part.teacher is not None]
    return replace(joined, teacher=np.concatenate(logits)) if logits else joined


def _counts(domains: Sequence[Domain], datasets: Sequence[Any]) -> dict[str, int]:
    return {domain.name: len(rows) for domain, rows in zip(domains, datasets, strict=True)}


def _all_rows(datasets: Sequence[Any]) -> Any:
    """Labelled rows of several domains as one data set."""
    from datasets import concatenate_datasets

    return datasets[0] if len(datasets) == 1 else concatenate_datasets(list(datasets))


def _sample(rows: EncodedRows, seed: int) -> EncodedRows:
    """Some rows, equally many of each domain as far as it has them."""
    order = np.random.default_rng([seed, 8]).permutation(len(rows))
    assert rows.domains is not None
    found = np.unique(rows.domains)
    chosen = [order[rows.domains[order] == domain][: SAMPLE_ROWS // len(found)] for domain in found]
    return rows.select(np.sort(np.concatenate(chosen)))
