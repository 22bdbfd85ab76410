"""Suites: the pairs of domains that methods are measured on, and how their files are read."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

from nlp_adapt import Domain, load_domain

WORDS = "token-classification"
TEXT_SCORES = {"measure": "macro_f1", "title": "Macro-F1", "recipes": "sentiment"}
TEXT_SCORES |= {"precision": ("macro_precision",), "recall": ("macro_recall",)}
SUITES: dict[str, dict[str, Any]] = {
    "snippets": {
        **TEXT_SCORES,
        "heading": "Methods on the snippets pairs",
        "folder": "sentiment/snippets",
        "pairs": list(itertools.permutations(("amazon", "movie", "nyt", "tweets"), 2)),
        "recipe": {"max_source_rows": 2000, "max_length": 64},
        "held_out": "test rows",
    },
    "amazon": {
        **TEXT_SCORES,
        "heading": "Methods on the amazon pairs",
        "folder": "sentiment/amazon_blitzer",
        "pairs": list(itertools.permutations(("books", "dvd", "electronics", "kitchen"), 2)),
        "recipe": {"max_length": 128},
        "held_out": "all 2,000 labelled rows (target_trained: the 400 test rows)",
        "notes": [
            "The classes of these domains are balanced, in the unlabelled pool that adaptation reads "
            "as well: it was drawn by label. Methods that expect even classes have an advantage here "
            "that a pool as it comes would not give."
        ],
    },
    "wnut": {
        "heading": "Cross-domain NER: news to WNUT-17",
        "measure": "f1", "title": "Strict span F1", "precision": ("precision",),
        "recall": ("recall",), "recipes": "ner", "folder": "ner_plo/conll2003",
        "pairs": [("news", name) for name in ("reddit", "stackexchange", "twitter", "youtube")],
        "recipe": {"max_source_rows": 4000, "max_length": 64},
        "held_out": "test sentences",
        "notes": [
            "Models learn PER, LOC and ORG from CoNLL-2003 news. Adapted ones also see raw text of "
            "the one target that they are scored on, and no tag of it."
        ],
    },
}  # fmt: skip


def read_domain(data: Path, suite: dict[str, Any], name: str) -> Domain:
    """A domain of the suite by its name, with the rows that a model is scored on as test rows."""
    if suite["recipes"] == "sentiment" or name == "news":
        task = {"task": WORDS} if suite["recipes"] == "ner" else {}
        return load_domain(str(data / suite["folder"] / name), name=name, **task)
    split = "dev" if name == "youtube" else "test"
    text = data / "ner" / "wnut17" / f"{name}.unlabeled.jsonl.gz"
    tagged = data / "ner_plo" / "wnut17" / f"{name}.{split}.jsonl.gz"
    domain = load_domain(str(text), task=WORDS, name=name)
    (rows,) = load_domain(str(tagged), task=WORDS, test_fraction=0.0).splits.values()
    return replace(domain, test=rows)
