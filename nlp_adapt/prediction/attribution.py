"""Which words drove a label, and which gave the domain away: what changes when a word is left out.

Occlusion (Zeiler & Fergus 2014, ECCV; Li et al. 2016, arXiv:1612.08220, for words) needs nothing of a
model but its answers, so that it is the same for every encoder and head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_adapt.prediction.tagged_text import split_text
from nlp_adapt.validators.scores import linear_probe

MOST_WORDS = 60  # of a text: each costs a forward pass


@dataclass(frozen=True)
class WordEffects:
    """The words of a text and what each did.

    Attributes:
        spans: Where the words begin and end in the text, in characters.
        label: `[words]` by how much each raised the log-probability of the predicted label.
        domain: `[words]` by how much each moved the text towards the target, in log-odds.
    """

    text: str
    spans: list[tuple[int, int]]
    label: np.ndarray
    domain: np.ndarray


def domain_probe(source: np.ndarray, target: np.ndarray) -> Any:
    """A linear classifier that tells the domains apart by what the model's classifier reads.

    Args:
        source: Features `[texts, width]` of the source.
        target: Those of the target.
    """
    sides = np.repeat([0, 1], [len(source), len(target)])
    features = np.concatenate([source, target]).astype(np.float64)
    return linear_probe(class_weight="balanced").fit(features, sides)


def word_effects(predictor: Any, texts: Sequence[str], probe: Any) -> list[WordEffects]:
    """What the first 60 words of each text did to its label and its domain.

    Args:
        predictor: A `Predictor` for sentences.
        probe: A `domain_probe`, which says how likely a text is of the target, in log-odds.
    """
    split = [split_text(text).spans[:MOST_WORDS] for text in texts]
    variants: list[str] = []
    for text, spans in zip(texts, split, strict=True):
        variants += [text, *(text[:start] + text[end:] for start, end in spans)]
    answers, features = predictor.predict_with_features(variants)
    moved = probe.decision_function(features.astype(np.float64))
    found, first = [], 0
    for text, spans in zip(texts, split, strict=True):
        label = answers[first]["label"]
        own = np.array([one["scores"][label] for one in answers[first : first + len(spans) + 1]])
        logs = np.log(np.clip(own, 1e-12, None))
        shift = moved[first] - moved[first + 1 : first + len(spans) + 1]
        found.append(WordEffects(text, list(spans), logs[0] - logs[1:], shift))
        first += len(spans) + 1
    return found
