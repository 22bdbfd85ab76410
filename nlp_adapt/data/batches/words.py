"""From words to the pieces that a model reads, and from its rows back to words.

A word is represented by its first piece, so continuation pieces, special tokens and padding never
carry a label. A sentence that is longer than the model is cut into overlapping windows, and each of
its words belongs to exactly one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows, edges, spans
from nlp_adapt.data.reading.conll import split_words
from nlp_adapt.errors import ConfigError
from nlp_adapt.names import IGNORED_LABEL

OVERLAP = 0.25
CHUNK = 1000


@dataclass(frozen=True)
class Pieces:
    """The pieces of all sentences, one after the other, without special tokens.

    Attributes:
        ids: `[pieces]` token ids.
        words: `[pieces]` running number, over all sentences, of the word that a piece is part of.
        offsets: `[sentences + 1]` where each sentence starts in `ids`.
        total_words: Words in all sentences, those without pieces included.
    """

    ids: np.ndarray
    words: np.ndarray
    offsets: np.ndarray
    total_words: int


def encode_words(
    sentences: Sequence[Sequence[str]],
    tokenizer: Any,
    max_length: int,
    labels: np.ndarray | None = None,
) -> EncodedRows:
    """Tokenise sentences that are split into words; each word with a piece becomes one unit.

    Words that vanish in tokenisation (zero-width or control characters, empty strings) have no
    unit, and sentences made only of such words have no row.

    `labels` are the class indices `[words]`, if any; a row has at most `max_length` tokens, specials
    included. Sentences may be empty.

    Raises:
        ConfigError: `max_length` leaves no room beside the special tokens.
    """
    before, after = special_tokens(tokenizer)
    room = max_length - len(before) - len(after)
    if room < 1:
        raise ConfigError(
            f"max_length is {max_length}, but the tokenizer adds {len(before) + len(after)} "
            f"special tokens: set it to {len(before) + len(after) + 1} or more."
        )
    pieces = split_into_pieces(sentences, tokenizer)
    starts, stops, first_windows = plan_windows(pieces.offsets, room)
    words, firsts, sizes = np.unique(pieces.words, return_index=True, return_counts=True)
    lasts = firsts + sizes - 1
    sentence = np.searchsorted(pieces.offsets, firsts, side="right") - 1
    owners = _owners(firsts, lasts, sentence, (starts, stops, first_windows))

    kept, rows = np.unique(owners, return_inverse=True)
    order = np.argsort(rows, kind="stable")
    words, rows, positions = words[order], rows[order], (firsts - starts[owners])[order]
    starts, stops = starts[kept], stops[kept]
    offsets = edges(stops - starts + len(before) + len(after))
    ids = np.empty(offsets[-1], dtype=np.int32)
    ids[offsets[:-1, None] + np.arange(len(before))] = before
    ids[offsets[1:, None] - np.arange(len(after), 0, -1)] = after
    inner = spans(offsets[:-1] + len(before), offsets[1:] - len(after))
    ids[inner] = pieces.ids[spans(starts, stops)]
    known = np.full(len(words), IGNORED_LABEL) if labels is None else np.asarray(labels)[words]
    return EncodedRows(
        ids=ids,
        offsets=offsets,
        labels=known.astype(np.int64),
        unit_offsets=edges(np.bincount(rows, minlength=len(kept))),
        positions=(positions + len(before)).astype(np.int32),
        words=words,
        total_words=pieces.total_words,
    )


def encode_texts(
    texts: Sequence[str], tokenizer: Any, max_length: int, labels: Sequence[int]
) -> EncodedRows:
    """Tokenise plain texts as words; the first word of each row carries the label of its text.

    `labels` are the class indices `[texts]`. A labelled unit is thus a labelled row, of which a
    long text has several.
    """
    sentences = [[word for word, _, _ in split_words(text)] for text in texts]
    of_word = np.repeat(np.asarray(labels, np.int64), [len(words) for words in sentences])
    rows = encode_words(sentences, tokenizer, max_length, of_word)
    first = np.zeros(rows.units, dtype=bool)
    first[rows.unit_offsets[:-1]] = True
    return replace(rows, labels=np.where(first, rows.labels, IGNORED_LABEL))


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and after one sentence."""
    probe = tokenizer("a", return_special_tokens_mask=True)
    ids, special = probe["input_ids"], probe["special_tokens_mask"]
    before = special.index(0) if 0 in special else len(special)
    after = len(special) - special[::-1].index(0) if 0 in special else len(special)
    return list(ids[:before]), list(ids[after:])


def split_into_pieces(sentences: Sequence[Sequence[str]], tokenizer: Any) -> Pieces:
    """Tokenise word by word, without special tokens, windows or cuts."""
    lengths = np.fromiter((len(words) for words in sentences), np.int64, len(sentences))
    first_words = np.cumsum(lengths) - lengths
    counts = np.zeros(len(sentences), dtype=np.int64)
    filled = np.flatnonzero(lengths)  # tokenizers refuse, or misread, a sentence without words
    ids, words = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(filled), CHUNK):
        chosen = filled[start : start + CHUNK]
        batch = tokenizer(
            [list(sentences[index]) for index in chosen],
            is_split_into_words=True,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for index, encoding in zip(chosen, batch.encodings, strict=True):
            counts[index] = len(encoding.ids)
            ids.append(np.array(encoding.ids, dtype=np.int32))
            words.append(np.array(encoding.word_ids, dtype=np.int64) + first_words[index])
    return Pieces(
        ids=np.concatenate(ids),
        words=np.concatenate(words),
        offsets=edges(counts),
        total_words=int(lengths.sum()),
    )


def plan_windows(offsets: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut each sentence into the fewest windows that overlap by a quarter, evenly spread.

    The pieces of the sentences start at `offsets` `[sentences + 1]`; a window has `room` for some.

    Returns:
        `starts` and `stops` `[windows]`, in pieces, and `first_windows` `[sentences + 1]`.
    """
    lengths = np.diff(offsets)
    overlap = int(room * OVERLAP)
    counts = np.where(lengths > room, -(-(lengths - overlap) // (room - overlap)), 1)
    first_windows = edges(counts)
    sentence = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(first_windows[-1]) - first_windows[sentence]
    spread = np.maximum(lengths - room, 0)[sentence] * number // np.maximum(counts - 1, 1)[sentence]
    starts = offsets[sentence] + spread
    return starts, np.minimum(starts + room, offsets[sentence + 1]), first_windows


def scatter_to_words(values: np.ndarray, encoded: EncodedRows, fill: Any) -> np.ndarray:
    """Values `[units]` as `[words]`, in the order of the data set; vanished words get `fill`."""
    if encoded.words is None:
        raise ValueError("these rows have no words")
    spread = np.full((encoded.total_words, *values.shape[1:]), fill, dtype=values.dtype)
    spread[encoded.words] = values
    return spread


def _owners(
    firsts: np.ndarray, lasts: np.ndarray, sentence: np.ndarray, plan: tuple[np.ndarray, ...]
) -> np.ndarray:
    """`[words]` the window in which each word, all its pieces, has most context on both sides.

    What counts is the poorer side, and on a tie the earlier window. The edges of the sentence need
    no rule of their own: a word near one is nearer still to the edge of the next window.
    """
    starts, stops, first_windows = plan
    owners = first_windows[sentence]
    counts = np.diff(first_windows)
    for word in np.flatnonzero(counts[sentence] > 1):
        first, last = firsts[word], lasts[word]
        windows = np.arange(*first_windows[sentence[word] : sentence[word] + 2])
        windows = windows[(starts[windows] <= first) & (first < stops[windows])]
        context = np.minimum(first - starts[windows], stops[windows] - 1 - last)
        owners[word] = windows[np.argmax(context)]
    return owners
