"""Texts in whatever Python holds them: a list, a tuple, an array, a column, or a single text."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

from nlp_adapt.errors import DataError


def read_texts(given: Any) -> list[str]:
    """The texts in order; a single text is a list of one.

    Raises:
        DataError: If it holds columns, has no order, or one of its items is no text.
    """
    if isinstance(given, str):
        return [str(given)]
    kind = type(given).__name__
    if isinstance(given, Mapping) or hasattr(given, "columns") or hasattr(given, "column_names"):
        raise DataError(
            f"a {kind} holds columns, and predictions are made of texts: give the column of texts "
            "alone, such as rows['text']."
        )
    if isinstance(given, (bytes, Set)) or not isinstance(given, Iterable):
        raise DataError(f"a {kind} is no list of texts: give a text, or a list of texts.")
    # What Arrow holds comes as objects of its own otherwise.
    texts = list(given.to_pylist() if hasattr(given, "to_pylist") else given)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            words = isinstance(text, (list, tuple))
            advice = "join its words with spaces" if words else "leave it out, or give '' instead"
            raise DataError(f"texts[{index}] is {_short(text)}, which is no text: {advice}.")
    return [str(text) for text in texts]


def read_sentences(given: Iterable[Any]) -> list[list[str]]:
    """Sentences that are split into words, in order.

    Raises:
        DataError: If one of them is something else, such as a text.
    """
    sentences = list(given)
    for index, words in enumerate(sentences):
        if isinstance(words, str) or not all(isinstance(word, str) for word in words):
            raise DataError(f"sentences[{index}] is {_short(words)}, but must be a list of words.")
    return [list(words) for words in sentences]


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
