"""What can be wrong within one domain: its rows, its classes, and what a tokenizer makes of it."""

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, compress
from typing import Any

import numpy as np

from nlp_adapt.data.batches.words import split_into_pieces
from nlp_adapt.data.doctor.finding import (
    NOTE,
    SERIOUS,
    WARNING,
    DomainView,
    Finding,
    found_at,
    have,
    percent,
)
from nlp_adapt.data.label_spaces import label_counts
from nlp_adapt.data.labels import as_yaml
from nlp_adapt.names import counted, label_key

# Text that was decoded with the wrong encoding somewhere: what UTF-8's bytes look like in Latin-1
# or Windows-1252.
_MOJIBAKE = re.compile("[\u00c3\u00c2][\u0080-\u00bf]|\u00e2\u20ac|\u00e2\u0080|\u00f0\u0178")
_INVISIBLE = re.compile(
    "[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
RARE_SHARE = 0.05
FEW_ROWS = 10
TOKENISED_ROWS = 1_000
MANY_CUT = 0.1
MANY_UNKNOWN = 0.05
SIMILAR = 0.9
_SHORT = {"pos": "positive", "neg": "negative", "neu": "neutral"}


def check_rows(view: DomainView) -> Iterator[Finding]:
    """Every finding about one domain alone."""
    for note in view.domain.notes:
        yield Finding("reading", NOTE, view.side, note)
    yield from _damaged(view)
    yield from _duplicates(view)
    yield from _conflicts(view)
    yield from _names(view)
    if view.side == "source":
        yield from _classes(view)


def _damaged(view: DomainView) -> Iterator[Finding]:
    pairs = list(zip(view.everything.texts, view.everything.places, strict=True))
    if bad := [place for text, place in pairs if _looks_damaged(text)]:
        yield found_at(
            bad,
            "encoding",
            WARNING,
            view.side,
            f"{have(len(bad))} characters that look wrongly decoded.",
            "Read the original file again with its true encoding and save it as UTF-8.",
        )
    if bad := [place for text, place in pairs if _has_invisible(text)]:
        yield found_at(
            bad,
            "invisible",
            NOTE,
            view.side,
            f"{have(len(bad))} control or invisible characters.",
            "They are kept; most tokenizers drop them.",
        )


def _looks_damaged(text: str) -> bool:
    return not text.isascii() and ("\ufffd" in text or bool(_MOJIBAKE.search(text)))


def _has_invisible(text: str) -> bool:
    return not text.isprintable() and bool(_INVISIBLE.search(text))


def _duplicates(view: DomainView) -> Iterator[Finding]:
    rows = view.training
    seen: dict[str, str] = {}
    repeated = []
    for key, place in zip(rows.keys, rows.places, strict=True):
        if seen.setdefault(key, place) != place:
            repeated.append(f"{place} = {seen[key]}")
    if repeated:
        share = len(repeated) / len(rows)
        yield found_at(
            repeated,
            "duplicates",
            WARNING if share >= 0.1 else NOTE,
            view.side,
            f"{have(len(repeated), 'repeats', 'repeat')} the text of an earlier training row "
            f"({percent(share)}).",
            "They are kept, and weigh as often as they occur.",
        )


def _conflicts(view: DomainView) -> Iterator[Finding]:
    rows = view.labelled
    if rows.labels is None:
        return
    found: dict[str, list[tuple[str, object]]] = defaultdict(list)
    for key, place, label in zip(rows.keys, rows.places, rows.labels, strict=True):
        found[key].append((place, label))
    doubtful = [group for group in found.values() if len({label for _, label in group}) > 1]
    if doubtful:
        yield found_at(
            [" / ".join(place for place, _ in group[:4]) for group in doubtful],
            "conflicting-labels",
            WARNING,
            view.side,
            f"{counted(len(doubtful), 'text')} {'occurs' if len(doubtful) == 1 else 'occur'} with "
            "different labels.",
            "They are kept as they are: decide on one label each, or leave them out.",
        )


def _classes(view: DomainView) -> Iterator[Finding]:
    domain = view.domain
    if "train" not in view.splits or domain.label_names is None:
        return
    if view.tagging:
        counts = Counter(label_counts(domain))
        what, unit = "entity types", "entities"
    else:
        counts = Counter(dict.fromkeys(domain.label_names, 0))
        counts.update(view.splits["train"].labels or ())
        what, unit = "classes", "training rows"
    if missing := [name for name, count in counts.items() if count == 0]:
        yield Finding(
            "missing-class",
            WARNING,
            view.side,
            f"no {unit} of {', '.join(missing)}: a model cannot learn to predict it.",
            "Add rows, or leave the name out of the declared ones.",
            len(missing),
        )
    total = max(counts.total(), 1)
    least = RARE_SHARE / max(len(counts) - 1, 1)
    rare = [
        f"{name} ({count:,}, {percent(count / total)})"
        for name, count in counts.items()
        if count and (count < FEW_ROWS or count / total < least)
    ]
    if rare:
        yield Finding(
            "imbalance",
            WARNING,
            view.side,
            f"few {unit} of some {what}: {', '.join(rare)}.",
            "Read macro F1 and the scores by class, not accuracy.",
            len(rare),
        )


def _names(view: DomainView) -> Iterator[Finding]:
    """Names of one domain that differ in marks, in short and long form, or in a letter or two."""
    counts = {name: count for name, count in label_counts(view.domain).items() if count}
    pairs = [sorted(pair, key=counts.__getitem__) for pair in combinations(counts, 2)]
    for code, severity, found in (
        ("same-class", SERIOUS, [pair for pair in pairs if _core(pair[0]) == _core(pair[1])]),
        ("similar-class", WARNING, [pair for pair in pairs if _similar(*pair)]),
    ):
        if not found:
            continue
        listed = "; ".join(
            " and ".join(f"{name} ({counts[name]:,})" for name in reversed(pair)) for pair in found
        )
        same = severity == SERIOUS
        yield Finding(
            code,
            severity,
            view.side,
            f"{listed} {'are one class' if same else 'may be one class'} under two names.",
            f"{'Write' if same else 'If so, write'} label_map: {as_yaml(dict(found))}"
            + (", or rename one of them in the data." if same else "."),
            len(found),
        )


def _core(name: str) -> str:
    """A name without spaces and punctuation, and the long form of a short one."""
    plain = re.sub(r"[\s_.,:;/'()-]", "", label_key(name)) or name
    return _SHORT.get(plain, plain)


def _similar(one: str, other: str) -> bool:
    first, second = _core(one), _core(other)
    if first == second or re.findall(r"\d+", first) != re.findall(r"\d+", second):
        return False
    return difflib.SequenceMatcher(None, first, second).ratio() >= SIMILAR


def check_tokens(view: DomainView, tokenizer: Any, max_length: int) -> Iterator[Finding]:
    """Every finding about one domain that needs the tokenizer.

    At most 1,000 rows are tokenised, evenly spaced, so that a large domain takes no longer than a
    small one; what is counted over a sample is said to be so.
    """
    check = _check_words if view.tagging else _check_texts
    return check(view, tokenizer, max_length)


def _check_texts(view: DomainView, tokenizer: Any, max_length: int) -> Iterator[Finding]:
    rows = view.everything.sample(TOKENISED_ROWS)
    encoded = tokenizer(
        list(rows.texts), return_attention_mask=False, return_token_type_ids=False, verbose=False
    )["input_ids"]
    lengths = np.array([len(ids) for ids in encoded])
    extra = tokenizer.num_special_tokens_to_add()
    sampled = _of_sample(len(rows), view)
    if cut := list(compress(rows.places, lengths > max_length)):
        share = len(cut) / len(rows)
        many = share >= MANY_CUT
        yield found_at(
            cut,
            "overlong",
            WARNING if many else NOTE,
            view.side,
            f"{percent(share)} of the texts are longer than max_length ({max_length} tokens; the "
            f"longest has {int(lengths.max()):,}){sampled}.",
            "Their ends are not read"
            + (
                ": raise max_length, as far as the model reads, if what matters may stand there."
                if many
                else "."
            ),
        )
    if gone := list(compress(rows.places, lengths <= extra)):
        yield found_at(
            gone,
            "vanished",
            WARNING,
            view.side,
            f"{counted(len(gone), 'text')} {'has' if len(gone) == 1 else 'have'} no token left after "
            f"tokenisation{sampled}.",
            "The model sees nothing of them: leave them out.",
        )
    flat = np.fromiter((i for ids in encoded for i in ids), dtype=np.int64)
    yield from _unknown(view, flat, tokenizer, len(flat) - extra * len(rows))


def _check_words(view: DomainView, tokenizer: Any, max_length: int) -> Iterator[Finding]:
    sentences = [words for split in view.domain.splits.values() for words in split["tokens"][:]]
    every = -(-len(sentences) // TOKENISED_ROWS) or 1
    sentences, places = sentences[::every], view.everything.places[::every]
    sampled = _of_sample(len(sentences), view)
    pieces = split_into_pieces(sentences, tokenizer)
    lengths = np.diff(pieces.offsets) + tokenizer.num_special_tokens_to_add()
    if windowed := list(compress(places, lengths > max_length)):
        yield found_at(
            windowed,
            "overlong",
            NOTE,
            view.side,
            f"{percent(len(windowed) / len(places))} of the sentences are longer than max_length "
            f"({max_length} tokens; the longest has {int(lengths.max()):,}){sampled}.",
            "They are read in overlapping windows; every word is still predicted.",
        )
    gone = np.setdiff1d(np.arange(pieces.total_words), pieces.words)
    if len(gone):
        sentence = np.repeat(np.arange(len(sentences)), [len(words) for words in sentences])
        where = [places[i] for i in np.unique(sentence[gone]).tolist()]
        finding = found_at(
            where,
            "vanished",
            NOTE,
            view.side,
            f"{counted(len(gone), 'word')} {'vanishes' if len(gone) == 1 else 'vanish'} in "
            f"tokenisation (invisible characters, or empty){sampled}.",
            "They are predicted O and shift no other word's tag.",
        )
        yield replace(finding, count=len(gone))  # words, not sentences
    yield from _unknown(view, pieces.ids, tokenizer, len(pieces.ids))


def _unknown(view: DomainView, ids: np.ndarray, tokenizer: Any, total: int) -> Iterator[Finding]:
    if tokenizer.unk_token_id is None:
        return
    share = float((ids == tokenizer.unk_token_id).sum() / max(total, 1))
    if share >= MANY_UNKNOWN:
        yield Finding(
            "unknown-tokens",
            WARNING,
            view.side,
            f"{percent(share)} of the tokens are unknown to the tokenizer.",
            "The model was pretrained on other text, perhaps another language: choose another one.",
        )


def _of_sample(count: int, view: DomainView) -> str:
    return "" if count == len(view.everything) else f" in a sample of {count:,}"
