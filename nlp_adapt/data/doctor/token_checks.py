"""What a tokenizer makes of a domain: texts that are cut, words that vanish or are unknown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nlp_adapt.data.batches.words import special_tokens, split_into_pieces
from nlp_adapt.data.doctor.finding import NOTE, WARNING, Finding, first, percent
from nlp_adapt.data.doctor.view import DomainView
from nlp_adapt.names import TOKEN_CLASSIFICATION

SAMPLE = 1_000
MANY_CUT = 0.1
MANY_UNKNOWN = 0.05


def check_tokens(view: DomainView, tokenizer: Any, max_length: int) -> Iterator[Finding]:
    """Every finding about one domain that needs the tokenizer.

    At most 1,000 rows of the domain are tokenised, evenly spaced, so that a large domain takes no
    longer than a small one; what is counted over a sample is said to be so.
    """
    if view.domain.task == TOKEN_CLASSIFICATION:
        yield from _check_words(view, tokenizer, max_length)
        return
    rows = view.everything.sample(SAMPLE)
    encoded = tokenizer(
        list(rows.texts),
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )["input_ids"]
    lengths = np.array([len(ids) for ids in encoded])
    extra = sum(map(len, special_tokens(tokenizer)))
    cut = np.flatnonzero(lengths > max_length).tolist()
    if len(cut):
        share = len(cut) / len(rows)
        advice = (
            "Their ends are not read: raise max_length if what matters may stand there."
            if share >= MANY_CUT
            else "Their ends are not read."
        )
        yield Finding(
            "overlong",
            WARNING if share >= MANY_CUT else NOTE,
            view.side,
            f"{percent(share)} of the texts are longer than max_length ({max_length} tokens; the "
            f"longest has {int(lengths.max()):,}){_of_sample(view, rows)}.",
            advice,
            len(cut),
            first([rows.places[i] for i in cut]),
        )
    nothing = np.flatnonzero(lengths <= extra).tolist()
    yield from _vanished(view, [rows.places[i] for i in nothing], "texts", rows)
    flat = np.fromiter((i for ids in encoded for i in ids), dtype=np.int64)
    yield from _unknown(view, flat, tokenizer, max(len(flat) - extra * len(rows), 1))


def _check_words(view: DomainView, tokenizer: Any, max_length: int) -> Iterator[Finding]:
    sentences = [words for split in view.domain.splits.values() for words in split["tokens"][:]]
    rows = view.everything
    chosen = range(len(rows))
    if len(rows) > SAMPLE:
        chosen = range(0, len(rows), -(-len(rows) // SAMPLE))
    sentences = [sentences[i] for i in chosen]
    places = [rows.places[i] for i in chosen]
    pieces = split_into_pieces(sentences, tokenizer)
    lengths = np.diff(pieces.offsets) + sum(map(len, special_tokens(tokenizer)))
    windowed = np.flatnonzero(lengths > max_length).tolist()
    sampled = "" if len(chosen) == len(rows) else f" in a sample of {len(chosen):,}"
    if len(windowed):
        yield Finding(
            "overlong",
            NOTE,
            view.side,
            f"{percent(len(windowed) / len(places))} of the sentences are longer than max_length "
            f"({max_length} tokens; the longest has {int(lengths.max()):,}){sampled}.",
            "They are read in overlapping windows; every word is still predicted.",
            len(windowed),
            first([places[i] for i in windowed]),
        )
    present = np.zeros(pieces.total_words, dtype=bool)
    present[pieces.words] = True
    sentence = np.repeat(np.arange(len(sentences)), [len(words) for words in sentences])
    gone = [places[i] for i in dict.fromkeys(sentence[~present].tolist())]
    if gone:
        yield Finding(
            "vanished",
            NOTE,
            view.side,
            f"{int((~present).sum()):,} words vanish in tokenisation (invisible characters, or "
            f"empty){sampled}.",
            "They are predicted O and shift no other word's tag.",
            int((~present).sum()),
            first(gone),
        )
    yield from _unknown(view, pieces.ids, tokenizer, max(len(pieces.ids), 1))


def _vanished(view: DomainView, places: list[str], what: str, rows: Any) -> Iterator[Finding]:
    if places:
        yield Finding(
            "vanished",
            WARNING,
            view.side,
            f"{len(places):,} {what} have no token left after tokenisation{_of_sample(view, rows)}.",
            "The model sees nothing of them: leave them out.",
            len(places),
            first(places),
        )


def _unknown(view: DomainView, ids: np.ndarray, tokenizer: Any, total: int) -> Iterator[Finding]:
    if tokenizer.unk_token_id is None:
        return
    share = float((ids == tokenizer.unk_token_id).sum() / total)
    if share >= MANY_UNKNOWN:
        yield Finding(
            "unknown-tokens",
            WARNING,
            view.side,
            f"{percent(share)} of the tokens are unknown to the tokenizer.",
            "The model was pretrained on other text, perhaps another language: choose another one.",
        )


def _of_sample(view: DomainView, rows: Any) -> str:
    total = len(view.everything)
    return "" if len(rows) == total else f" in a sample of {len(rows):,}"
