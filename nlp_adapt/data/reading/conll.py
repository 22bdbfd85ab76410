"""CoNLL columns, and the word splitter for plain text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nlp_adapt.data.reading.quarantine import BadLines, CollectedLines
from nlp_adapt.data.reading.tables import Table

_DOCUMENT_START = "-DOCSTART-"
_TAG = re.compile(r"O|[BIELSU]-.+")


def read_conll(path: Path, lines: Iterable[tuple[int, str]], bad: BadLines | None = None) -> Table:
    """Read one token a line, a blank line between sentences.

    Columns are separated by tabs or by spaces; the token comes first and its tag last. A file of
    one column is unlabelled. Lines that start with -DOCSTART- are skipped. A line of white space
    alone is blank. There are no comments: a line that starts with # is a token.

    Args:
        path: Names the file in `rows` and in errors.
        lines: Line numbers and texts.
        bad: Takes lines with more or fewer columns than the first; None refuses them.

    Returns:
        A table with the columns `tokens` and, unless the file has a single column, `tags`.

    Raises:
        DataError: A line is refused; names file and line.
    """
    bad = bad or BadLines(path)
    sentences: list[tuple[int, list[str], list[str]]] = []
    columns = None
    fresh = True
    for number, line in lines:
        if not line.strip(" \t") or line.startswith(_DOCUMENT_START):
            fresh = True
            continue
        fields = _split_columns(line)
        columns = columns or len(fields)
        if len(fields) != columns:
            bad.add(
                number,
                f"{path}:{number} has {len(fields)} columns where the first line has {columns}: "
                "each line needs a token first and its tag last, and a blank line ends a sentence.",
            )
        if fresh:
            sentences.append((number, [], []))
            fresh = False
        sentences[-1][1].append(fields[0])
        sentences[-1][2].append(fields[-1])
    data: dict[str, list[list[str]]] = {"tokens": [tokens for _, tokens, _ in sentences]}
    if columns != 1:
        data["tags"] = [tags for _, _, tags in sentences]
    rows = [f"{path.name}:{number}" for number, _, _ in sentences]
    return Table(data, rows, str(path), line_per_token=True)


@dataclass(frozen=True)
class Sentence:
    """Successive lines of a CoNLL file.

    Attributes:
        line: Number of its first line.
        tokens: The columns of each line.
        reason: Why it cannot be used, or None.
    """

    line: int
    tokens: list[list[str]]
    reason: str | None


def conll_sentences(lines: Iterable[tuple[int, str]], bad: CollectedLines) -> Iterator[Sentence]:
    """The sentences of a CoNLL file, one at a time; see `read_conll`.

    Args:
        lines: Line numbers and texts.
        bad: Takes unreadable lines.
    """
    tokens: list[list[str]] = []
    reason: str | None = None
    start = width = 0
    for number, line in lines:
        fault = bad.take()
        if not line.strip(" \t") or line.startswith(_DOCUMENT_START):
            if tokens:
                yield Sentence(start, tokens, reason)
            tokens, reason = [], None
            continue
        fields = _split_columns(line)
        width = width or len(fields)
        if len(fields) != width:
            fault = fault or (
                f"line {number} has {len(fields)} columns where the first line has {width}."
            )
        start = start if tokens else number
        tokens.append(fields)
        reason = reason or fault
    if tokens:
        yield Sentence(start, tokens, reason)


def column_names(width: int) -> list[str]:
    """What the columns of a CoNLL file are called: the token comes first and its tag last."""
    middle = [f"column_{number}" for number in range(2, width)]
    return ["tokens", *middle, *(["tags"] if width > 1 else [])]


def _split_columns(line: str) -> list[str]:
    # A tab keeps an empty token apart from its tag; str.split() would also cut at a no-break space.
    return line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))


def looks_like_conll(lines: Iterable[tuple[int, str]], probe: int = 200) -> bool:
    """True where every one of the first lines is blank or ends in a column that is a tag."""
    filled = [line for _, line in islice(lines, probe) if line.strip(" \t")]
    filled = [line for line in filled if not line.startswith(_DOCUMENT_START)]
    fields = [_split_columns(line) for line in filled]
    return bool(fields) and all(len(f) > 1 and _TAG.fullmatch(f[-1]) for f in fields)


_WORD = re.compile(
    r"""
    (?:https?://|www\.)[^\s<>]*[^\s<>"'.,;:!?)\]}…’”]   # a URL, without the full stop behind it
  | [\w.+-]{1,64}@\w[\w-]*(?:\.[\w-]+)*\.\w+             # an e-mail address
  | [@\#]\w+                                            # a mention, a hashtag
  | (?:[^\W\d_]\.){2,}                                  # U.S.
  | \d+(?:[.,:/-]\d+)*                                  # 3,000.5  10:30  1996-08-22
  | ['’](?:s|m|d|re|ve|ll)\b                            # the clitic of Bob's, I'm, we'll
  | \w+(?:-\w+)*(?:['’](?!(?:s|m|d|re|ve|ll)\b)\w+)*    # a word: well-known, O'Brien, don't
  | ([^\w\s])\1*                                        # one mark, repeated:  ...  !!!
    """,
    re.VERBOSE | re.IGNORECASE,
)
_JOINER = "\u200d"


def split_words(text: str) -> list[tuple[str, int, int]]:
    """Split plain text into words, as (word, start, end) with `text[start:end] == word`.

    URLs, e-mail addresses, @mentions and #hashtags stay whole; hyphenated words and initials
    (U.S.) too; the clitics 's, 'm, 'd, 're, 've and 'll stand alone, as do runs of one
    punctuation mark. Combining marks and joiners stay with the letter they follow. Every
    character that is not white space belongs to exactly one word. Scripts written without spaces
    (Chinese, Japanese, Thai) are not segmented: give those as lists of tokens.
    """
    spans: list[tuple[int, int]] = []
    for start, end in _spans(text):
        if spans and spans[-1][1] == start and _joined(text[start - 1], text[start]):
            start = spans.pop()[0]
        spans.append((start, end))
    return [(text[start:end], start, end) for start, end in spans]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _WORD.finditer(text))


def _joined(before: str, after: str) -> bool:
    # \w leaves out combining marks, which would cut most Indic words into pieces.
    if _is_mark(after):
        return True
    return before == _JOINER or (_is_mark(before) and after.isalnum())


def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf") or "🏻" <= char <= "🏿"
