"""The words of two domains: how many of each, which tell them apart, and what a tokenizer makes of them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

PRIOR_WORDS = 1_000
SHOWN = 10
_WORD = re.compile(r"[^\W_][\w'’-]*")
_LETTERS = re.compile(r"[^\W\d_]+")  # digits and "don't" fall apart in any vocabulary


def word_counts(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs, whatever its case."""
    return Counter(word.casefold() for text in texts for word in _WORD.findall(text))


def telling_words(
    source: Counter[str], target: Counter[str], most: int = SHOWN
) -> dict[str, list[dict[str, Any]]]:
    """The words that tell two domains apart, each with its z score, the most telling first.

    Log-odds with an informative Dirichlet prior (Monroe, Colaresi & Quinn 2008, "Fightin' Words",
    Political Analysis 16(4)): both domains are thought to have seen `PRIOR_WORDS` more words, spread
    as those of the two together, which keeps rare words from seeming telling.

    Returns:
        Under `source` and `target` the words that are more frequent there: `word`, `z`, and how often
        it occurs in a million words of the source and of the target.
    """
    words = sorted(source | target)
    ours, theirs = (np.array([side[word] for word in words], float) for side in (source, target))
    sizes = ours.sum(), theirs.sum()
    if not all(sizes):
        return {"source": [], "target": []}
    prior = PRIOR_WORDS * (ours + theirs) / sum(sizes)
    odds = [
        np.log((own + prior) / (size + PRIOR_WORDS - own - prior))
        for own, size in zip((ours, theirs), sizes, strict=True)
    ]
    z = (odds[1] - odds[0]) / np.sqrt(1 / (ours + prior) + 1 / (theirs + prior))
    order = np.argsort(-z, kind="stable")

    def entry(place: int) -> dict[str, Any]:
        rates = (1e6 * own[place] / size for own, size in ((ours, sizes[0]), (theirs, sizes[1])))
        source_rate, target_rate = (round(float(rate)) for rate in rates)
        return {
            "word": words[place],
            "z": round(float(z[place]), 1),
            "source_per_million": source_rate,
            "target_per_million": target_rate,
        }

    return {
        "source": [entry(place) for place in order[::-1][:most] if z[place] < 0],
        "target": [entry(place) for place in order[:most] if z[place] > 0],
    }


def unseen_share(target: Counter[str], source: Counter[str]) -> float | None:
    """Share of the target's running words that do not occur in the source."""
    total = target.total()
    return sum(n for word, n in target.items() if word not in source) / total if total else None


def pieces(texts: Sequence[str], tokenizer: Any, most: int = SHOWN) -> dict[str, Any]:
    """What a tokenizer makes of the words of texts, as they are written.

    Args:
        tokenizer: A fast one that reads words, see `modeling.tokenizers.for_words`.

    Returns:
        Of the running words the shares `unknown` and `split` (into two pieces or more), the mean of
        `pieces` a word, and the most frequent split words.
    """
    counts = Counter(word for text in texts for word in _LETTERS.findall(text))
    if not counts:
        return {"unknown": 0.0, "split": 0.0, "pieces": 0.0, "often_split": []}
    words = list(counts)
    ids = tokenizer(
        [[word] for word in words],
        is_split_into_words=True,
        add_special_tokens=False,
        return_attention_mask=False,
        verbose=False,
    )["input_ids"]
    often = np.array([counts[word] for word in words])
    lengths = np.array([len(own) for own in ids])
    none = tokenizer.unk_token_id
    unknown = np.array([none is not None and none in own for own in ids])
    parted = sorted((word for word, size in zip(words, lengths, strict=True) if size > 1),
                    key=lambda word: (-counts[word], word))  # fmt: skip
    return {
        "unknown": float(often[unknown].sum() / often.sum()),
        "split": float(often[lengths > 1].sum() / often.sum()),
        "pieces": float((often * lengths).sum() / often.sum()),
        "often_split": parted[:most],
    }


def bags(sides: Sequence[Sequence[str]], most: int) -> list[np.ndarray]:
    """Which of the `most` frequent words of all sides each text holds, `[texts, words]` of 0 and 1."""
    known = [word for word, _ in sum(map(word_counts, sides), Counter()).most_common(most)]
    places = {word: place for place, word in enumerate(known)}
    found = []
    for texts in sides:
        held = np.zeros((len(texts), len(known)), dtype=np.float32)
        for row, text in enumerate(texts):
            own = {places[word] for word in word_counts([text]) if word in places}
            held[row, list(own)] = 1.0
        found.append(held)
    return found


def sizes_of_texts(texts: Sequence[str]) -> np.ndarray:
    """`[texts, 2]` logarithms of the numbers of characters and of words."""
    sizes = [(len(text), len(_WORD.findall(text))) for text in texts]
    return np.log1p(np.array(sizes, dtype=np.float64).reshape(-1, 2))
