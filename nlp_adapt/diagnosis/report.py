"""Looks at two domains before a model is trained on them, and says what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.data.batches.words import encode_words
from nlp_adapt.data.doctor.finding import DomainView
from nlp_adapt.data.domain import Domain, shuffled_head
from nlp_adapt.data.label_spaces import check_pair
from nlp_adapt.data.loading import load_domain
from nlp_adapt.diagnosis.encoder import FrozenEncoder
from nlp_adapt.diagnosis.entities import found_surfaces, surfaces, type_of_tag, unseen
from nlp_adapt.diagnosis.neighbours import nearest_and_farthest
from nlp_adapt.diagnosis.probes import ClassProbe, class_shares, distances
from nlp_adapt.diagnosis.rules import Facts, recommend
from nlp_adapt.diagnosis.words import pieces, telling_words, unseen_share, word_counts
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION

MOST_ROWS = 5_000
# What costs time is the encoder's pass. Probes read no more than 1,000 texts of a side.
MOST_READ = 2_000
MOST_WORDS = 8_000
_UNCUT = 10**6


def diagnose(
    source: Domain | Any,
    target: Domain | Any,
    *,
    task: str = SEQUENCE_CLASSIFICATION,
    model: str = "builtin:minilm-l6",
    max_length: int = 128,
    most_rows: int = MOST_ROWS,
    seed: int = 42,
) -> dict[str, Any]:
    """Say how two domains differ and what to do about it, without training a model.

    No label of the target is read.

    Args:
        source: The labelled domain, or a reference that `load_domain` reads.
        target: The domain to adapt to, or a reference.
        task: What the labels mean, where a domain is a reference.
        model: Hub id, folder or `builtin:` name of the encoder whose features are probed.
        max_length: Tokens at which texts will be cut.
        most_rows: Rows of each domain that are looked at, drawn at random from a larger one; the
            encoder reads at most 2,000 of them.

    Returns:
        Plain values: `domains` (rows), `lengths`, `words` (unknown, split and unseen ones),
        `distance` (proxy A-distances), `telling_words`, `examples`, `class_shares`, `entities` (for
        words), `overlap`, and `recommendation` with `adapt`, `method`, `epochs`, `labels` and what
        each rule says; None where too few rows tell.

    Raises:
        DataError: If a domain cannot be read, or nothing can be learned from the source.
        ModelError: If the encoder cannot be used.
    """
    source, target = (
        one if isinstance(one, Domain) else load_domain(one, task=task) for one in (source, target)
    )
    check_pair(source, target)
    encoder = FrozenEncoder.open(model)
    cut = min(max_length, encoder.longest)
    sides = {
        "source": _Side(source, source.train, most_rows, seed),
        "target": _Side(target, target.without_labels(), most_rows, seed),
    }
    found: dict[str, Any] = {"task": source.task, "model": model, "max_length": cut}
    found["domains"] = {side: one.sizes() for side, one in sides.items()}
    found["lengths"] = {side: one.lengths(encoder, cut) for side, one in sides.items()}
    found |= _words(sides, encoder)
    texts = [one.texts(one.read) for one in sides.values()]
    features = [encoder.read(_text_rows(own, encoder, cut))[0] for own in texts]
    found["distance"] = distances(texts, features, seed)
    found["examples"] = nearest_and_farthest(texts[0], texts[1], features[0], features[1])
    found |= {"class_shares": None, "entities": None}
    if source.task == TOKEN_CLASSIFICATION:
        found |= _probe_words(sides["source"], sides["target"], encoder, cut, seed)
    else:
        found["class_shares"] = _probe_texts(sides["source"], *features)
    found["overlap"] = _overlap(source, target)
    found["recommendation"] = recommend(_facts(found))
    return found


@dataclass
class _Side:
    """The rows of a domain that are looked at: of the source labelled ones, of the target any."""

    domain: Domain
    every: Any
    most: int
    seed: int

    @cached_property
    def rows(self) -> Any:
        return shuffled_head(self.every, self.most, self.seed)

    @cached_property
    def read(self) -> Any:
        """The rows that the encoder reads, in random order."""
        order = np.random.default_rng([self.seed, 13]).permutation(len(self.rows))
        return self.rows.select(order[:MOST_READ])

    def texts(self, rows: Any) -> list[str]:
        values: list[Any] = rows[self.domain.text_column][:]
        return [one if isinstance(one, str) else " ".join(one) for one in values]

    def sizes(self) -> dict[str, Any]:
        return {
            "name": self.domain.name,
            "rows": {name: len(rows) for name, rows in self.domain.splits.items()},
            "training": len(self.every),
            "looked_at": len(self.rows),
            "encoded": len(self.read),
        }

    def lengths(self, encoder: FrozenEncoder, cut: int) -> dict[str, Any]:
        """Words and tokens of a text: the median, what 90 % do not exceed, and the most."""
        texts = self.texts(self.rows)
        words = np.array([len(text.split()) for text in texts])
        tokens = _text_rows(texts, encoder, _UNCUT).lengths
        said = {
            name: {
                "median": int(np.median(values)),
                "ninetieth": int(np.quantile(values, 0.9)),
                "most": int(values.max()),
            }
            for name, values in (("words", words), ("tokens", tokens))
        }
        return {**said, "cut": float((tokens > cut).mean())}


def _text_rows(texts: Sequence[str], encoder: FrozenEncoder, cut: int) -> Any:
    encoded = encoder.tokenizer(
        list(texts),
        truncation=True,
        max_length=cut,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    return pack_rows(encoded["input_ids"])


def _words(sides: dict[str, _Side], encoder: FrozenEncoder) -> dict[str, Any]:
    texts = {side: one.texts(one.rows) for side, one in sides.items()}
    counts = {side: word_counts(own) for side, own in texts.items()}
    said = {side: pieces(own, encoder.words) for side, own in texts.items()}
    said["target"]["unseen"] = unseen_share(counts["target"], counts["source"])
    return {"words": said, "telling_words": telling_words(counts["source"], counts["target"])}


def _probe_texts(side: _Side, source: np.ndarray, target: np.ndarray) -> dict[str, Any] | None:
    """Class shares by a probe of features that is fitted to every other row of the source."""
    names = side.domain.label_names or ()
    labels = np.array(side.read["label"][:])
    probe = ClassProbe.fit(source[::2], labels[::2], len(names))
    if probe is None:
        return None
    held_out = probe.logits(source[1::2])
    return class_shares(held_out, labels[1::2], probe.logits(target), names)


def _probe_words(
    source: _Side, target: _Side, encoder: FrozenEncoder, cut: int, seed: int
) -> dict[str, Any]:
    """Shares of the entity types among words, and unseen entities, by a probe of words."""
    read = source.read
    fitted, held = (read.select(range(first, len(read), 2)) for first in (0, 1))
    types, place = type_of_tag(source.domain.label_names or ())
    rows: dict[str, Any] = {}
    states: dict[str, Any] = {}  # of words, since the rows say where these begin
    sentences = {"fitted": fitted, "held": held, "target": target.read}
    for name, dataset in sentences.items():
        tags = None
        if name != "target":
            tags = np.array([tag for own in dataset["labels"][:] for tag in own])
            tags = np.where(tags >= 0, place[tags.clip(0)], tags)
        rows[name] = encode_words(dataset["tokens"][:], encoder.words, cut, tags)
        _, states[name] = encoder.read(rows[name])
    known = np.flatnonzero(rows["fitted"].labels >= 0)
    known = np.random.default_rng([seed, 17]).permutation(known)[:MOST_WORDS]
    probe = ClassProbe.fit(states["fitted"][known], rows["fitted"].labels[known], len(types))
    if probe is None:
        return {}
    logits = {name: probe.logits(states[name]) for name in ("held", "target")}
    tagged = rows["held"].labels >= 0
    found = {
        name: found_surfaces(sentences[name]["tokens"][:], rows[name], own.argmax(-1))
        for name, own in logits.items()
    }
    shares = class_shares(
        logits["held"][tagged], rows["held"].labels[tagged], logits["target"], types
    )
    entities = unseen(surfaces(fitted), found["held"], found["target"])
    return {"class_shares": shares, "entities": entities}


def _overlap(source: Domain, target: Domain) -> dict[str, int]:
    """Rows that repeat an earlier one of their domain, or stand in two places, in all rows."""
    ours, theirs = DomainView(source, "source"), DomainView(target, "target")
    test = theirs.splits.get("test")
    return {
        "repeated_in_source": len(ours.supervised) - len(set(ours.supervised.keys)),
        "repeated_in_target": len(theirs.training) - len(set(theirs.training.keys)),
        "target_in_source": len(theirs.training.found_in(ours.training)),
        "test": 0 if test is None else len(test),
        "test_in_source": 0 if test is None else len(test.found_in(ours.supervised)),
        "test_in_target": 0 if test is None else len(test.found_in(theirs.training)),
    }


def _facts(found: dict[str, Any]) -> Facts:
    """What the rules look at."""
    domains, distance, overlap = found["domains"], found["distance"], found["overlap"]
    shares, entities = found["class_shares"] or {}, found["entities"] or {}
    return Facts(
        words=found["task"] == TOKEN_CLASSIFICATION,
        model=found["model"],
        source_rows=domains["source"]["training"],
        target_rows=domains["target"]["training"],
        distance=distance["encoder"],
        length_distance=distance["length"],
        shared=overlap["target_in_source"] / max(domains["target"]["training"], 1),
        leaked=overlap["test_in_source"],
        cut=found["lengths"]["target"]["cut"],
        split=found["words"]["target"]["split"],
        split_source=found["words"]["source"]["split"],
        disagreement=shares.get("disagreement"),
        shift=shares.get("shift"),
        unseen=entities.get("target"),
        unseen_source=entities.get("source"),
    )
