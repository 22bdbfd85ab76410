"""Toy texts of two domains, whose label a single word gives away."""

from __future__ import annotations

import random

POSITIVE = ("good", "great", "lovely", "superb", "happy", "brilliant", "charming", "excellent")
NEGATIVE = ("bad", "awful", "dull", "boring", "sad", "terrible", "ugly", "poor")
SOURCE_WORDS = ("film", "actor", "scene", "plot", "director", "cinema", "script", "music")
TARGET_WORDS = ("phone", "battery", "flight", "queue", "coffee", "train", "update", "screen")
FILLER = ("the", "a", "was", "is", "and", "very", "so", "with", "this", "my", "really", "it")


def toy_rows(domain_words: tuple[str, ...], count: int, seed: int) -> list[tuple[str, str]]:
    """Texts whose label a single word gives away, with words of one domain around it."""
    rng = random.Random(seed)
    rows = []
    for index in range(count):
        label = "positive" if index % 2 else "negative"
        telling = rng.choice(POSITIVE if label == "positive" else NEGATIVE)
        words = rng.sample(FILLER, 3) + rng.sample(domain_words, 2) + [telling]
        rng.shuffle(words)
        rows.append((" ".join(words), label))
    return rows


def conll(words, sentences=24):
    """Sentences with one entity each, of three types in turn."""
    lines = []
    for number in range(sentences):
        kind = ("PER", "LOC", "ORG")[number % 3]
        name = words[number % len(words)]
        filler = [FILLER[(number * 5 + i) % len(FILLER)] for i in range(4)]
        lines += [f"{filler[0]} O", f"{filler[1]} O", f"{name} B-{kind}", f"{kind} I-{kind}"]
        lines += [f"{filler[2]} O", f"{filler[3]} O", ""]
    return "\n".join(lines) + "\n"
