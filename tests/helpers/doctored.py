"""Domains for the data doctor, sound or with faults."""

from __future__ import annotations

import random

from nlp_adapt.data.domain import Domain, make_dataset
from tests.helpers.tiny_encoders import WORDS

TEXTS = "sequence-classification"
NAMES = ("negative", "positive")


def sentences(count, seed=0, words=WORDS, length=8):
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=length)) for _ in range(count)]


def domain(name, train=(), test=(), unlabelled=(), names=NAMES, notes=()):
    """A domain of (text, class index) rows and unlabelled texts; places are name-split:number."""

    def labelled(split, rows):
        if not rows:
            return None
        places = [f"{name}-{split}:{i}" for i in range(len(rows))]
        texts, labels = zip(*rows, strict=True)
        return make_dataset(TEXTS, texts, places, labels, names)

    places = [f"{name}-unlabelled:{i}" for i in range(len(unlabelled))]
    return Domain(
        name,
        TEXTS,
        train=labelled("train", train),
        test=labelled("test", test),
        unlabelled=make_dataset(TEXTS, unlabelled, places) if unlabelled else None,
        notes=notes,
    )


def alternating(texts):
    return [(text, i % 2) for i, text in enumerate(texts)]
