"""What is measured: encoders of a shape with random weights, and rows of a length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from nlp_adapt import Domain
from nlp_adapt.data.domain import make_dataset
from nlp_adapt.names import SEQUENCE_CLASSIFICATION

BERT_VOCABULARY = 30_522
LONGEST = 512
CLASSES = ("negative", "positive")


@dataclass(frozen=True)
class Point:
    """One run whose steps are timed.

    Attributes:
        layers: Of the encoder.
        hidden: Its width; four times that is the width inside a layer.
        length: Tokens of every row, specials included.
        rows: Of each domain, in a batch of one process.
        processes: On this machine, of one thread each unless `threads` says more.
        precision: As the run's option.
        held_out: Whether the fitted model must foretell it unseen.
        threads: Of each process.
        vocabulary: Word pieces that have a vector.
        options: More options of the run.
    """

    layers: int = 6
    hidden: int = 384
    length: int = 64
    rows: int = 16
    processes: int = 1
    precision: str = "auto"
    held_out: bool = False
    threads: int = 1
    vocabulary: int = BERT_VOCABULARY
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Point:
        """A point from a line's `point`."""
        return cls(**{one.name: given[one.name] for one in fields(cls) if one.name in given})

    @property
    def heads(self) -> int:
        """Attention heads, 64 wide in wide encoders and 32 in MiniLM's."""
        return max(1, self.hidden // (64 if self.hidden > 384 else 32))

    @property
    def tokens(self) -> int:
        """Tokens of a step in one process, both domains together."""
        return 2 * self.rows * self.length

    def key(self) -> dict[str, Any]:
        """What tells it from others."""
        return {name: value for name, value in asdict(self).items() if name != "held_out"}


# In the order of what tells most: the first ones alone make a page.
GRID = (
    Point(6, 384, 64, 16),
    Point(6, 384, 256, 4),
    Point(12, 384, 64, 16),
    Point(6, 384, 128, 8, held_out=True),
    Point(12, 768, 64, 8),
    Point(6, 384, 512, 2),
    Point(12, 384, 256, 4, held_out=True),
    Point(6, 384, 64, 4),
    Point(6, 768, 128, 8, held_out=True),
    Point(6, 384, 64, 16, processes=2),
    Point(6, 384, 32, 32),
    Point(24, 384, 64, 16),
    Point(24, 1024, 64, 8),
    Point(12, 768, 128, 8, held_out=True),
    Point(6, 384, 64, 64, held_out=True),
    Point(6, 384, 64, 16, precision="fp32"),
    Point(12, 768, 512, 1),
    Point(12, 768, 64, 8, processes=2),
    Point(24, 1024, 128, 8, held_out=True),
)
_TOY = {"vocabulary": 500, "precision": "fp32"}
TOY = (
    Point(1, 32, 16, 2, **_TOY),
    Point(2, 32, 24, 2, **_TOY),
    Point(2, 64, 16, 4, **_TOY),
    Point(1, 64, 32, 2, **_TOY),
    Point(3, 32, 16, 2, **_TOY),
    Point(2, 32, 16, 4, held_out=True, **_TOY),
)


def save_encoder(point: Point, tokenizer: Any, folder: Path, seed: int = 0) -> str:
    """An encoder of the point's shape with random weights, and the tokenizer, in a folder."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=max(point.vocabulary, len(tokenizer)),
        hidden_size=point.hidden,
        num_hidden_layers=point.layers,
        num_attention_heads=point.heads,
        intermediate_size=4 * point.hidden,
        max_position_embeddings=LONGEST,
        pad_token_id=tokenizer.pad_token_id or 0,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def whole_words(tokenizer: Any) -> list[str]:
    """Words of which the tokenizer makes exactly one token."""
    specials = set(tokenizer.all_special_tokens)
    words = (word for word in tokenizer.get_vocab() if word.isalnum() and word not in specials)
    return sorted(word for word in words if word == word.lower() and word.isascii())


def domain_of(
    name: str, words: list[str], lengths: np.ndarray, *, labelled: bool, seed: int
) -> Domain:
    """A domain of random rows of these lengths in words."""
    generator = np.random.default_rng(seed)
    drawn = np.asarray(words)[generator.integers(0, len(words), int(lengths.sum()))]
    ends = np.cumsum(lengths)
    texts = [" ".join(drawn[end - one : end]) for end, one in zip(ends, lengths, strict=True)]
    places = [f"{name}:{number}" for number in range(len(texts))]
    labels = [number % len(CLASSES) for number in range(len(texts))] if labelled else None
    rows = make_dataset(SEQUENCE_CLASSIFICATION, texts, places, labels, CLASSES)
    if labelled:
        return Domain(name, SEQUENCE_CLASSIFICATION, train=rows)
    return Domain(name, SEQUENCE_CLASSIFICATION, unlabelled=rows)


def rows_of_point(point: Point, tokenizer: Any, seed: int) -> tuple[Domain, Domain]:
    """A labelled source and a raw target whose rows all have the point's length."""
    words = whole_words(tokenizer)
    specials = tokenizer.num_special_tokens_to_add()
    count = 4 * point.rows * point.processes + 8
    lengths = np.full(count, point.length - specials)
    return (
        domain_of("source", words, lengths, labelled=True, seed=seed),
        domain_of("target", words, lengths, labelled=False, seed=seed + 1),
    )
