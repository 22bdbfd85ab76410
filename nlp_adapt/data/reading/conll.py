"""CoNLL columns, and the word splitter for plain text."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from nlp_adapt.data.reading.lines import Line, read_lines
from nlp_adapt.data.reading.rows import Fault, Format, Row
from nlp_adapt.errors import DataError
from nlp_adapt.names import counted

_DOCUMENT_START = "-DOCSTART-"
_COMMENT = re.compile(r"# ?[\w:.-]+ *=[^\t]*")
_OTHER_SPACE = re.compile(r"\S\s+\S")  # within a token, which no plain space parts
TAG = re.compile(r"O|[BIELSU]-.+")


class Conll(Format):
    """One token a line, a blank line between sentences.

    Columns are separated by tabs or by spaces; the token comes first (`tokens`) and its tag last
    (`tags`). A file of one column is unlabelled. Lines that start with -DOCSTART- are skipped. A
    line of white space alone is blank. Before the first token of a sentence `# key = value`, as in
    CoNLL-U, is a comment; any other line that starts with # is a token.
    """

    endings = (".conll", ".bio", ".iob")
    line_per_token = True

    def rows(self, path: Path) -> Iterator[Row]:
        """A row for each sentence."""
        return conll_rows(path.name, read_lines(path, self.encoding))

    def columns(self, path: Path) -> list[str]:
        """As many as the first line has."""
        for row in self.rows(path):
            return _column_names(len(row.content[0])) if row.record is None else list(row.record)
        raise DataError(f"{path} holds no rows.")


def conll_rows(name: str, lines: Iterable[Line]) -> Iterator[Row]:
    """The sentences in the lines of a file called `name`; see `Conll`."""
    tokens: list[list[str]] = []
    faults: list[Fault] = []
    start = width = 0
    for number, line, fault in chain(lines, [(0, "", None)]):
        if not line.strip(" \t") or line.startswith(_DOCUMENT_START):
            if tokens:
                yield _sentence(f"{name}:{start}", tokens, faults)
                tokens, faults = [], []
            if fault is not None:
                yield Row(f"{name}:{number}", None, (Fault(number, fault),), [[line]])
            continue
        if not tokens and _COMMENT.fullmatch(line):
            continue
        fields = _split_columns(line)
        width = width or len(fields)
        if len(fields) != width:
            fault = fault or (
                f"has {counted(len(fields), 'column')} where the first line has {width}: each line needs a "
                "token first and its tag last, and a blank line ends a sentence."
            )
        if fault is not None:
            faults.append(Fault(number, fault))
        start = start if tokens else number
        tokens.append(fields)


def _sentence(place: str, tokens: list[list[str]], faults: list[Fault]) -> Row:
    if faults:
        return Row(place, None, faults, tokens)
    counts = [fields[0] for fields in tokens] == [str(n) for n in range(1, len(tokens) + 1)]
    if counts and len(tokens) > 1 and len(tokens[0]) > 2:
        reason = (
            "counts words in its first column, where the token must stand: take that column out."
        )
        return Row(place, None, (Fault(int(place.rpartition(":")[2]), reason),), tokens)
    if len(tokens[0]) == 1 and all(map(_OTHER_SPACE.search, (one for (one,) in tokens))):
        reason = "has a no-break space between its columns: part them by tabs or plain spaces."
        return Row(place, None, (Fault(int(place.rpartition(":")[2]), reason),), tokens)
    columns = map(list, zip(*tokens, strict=True))
    return Row(place, dict(zip(_column_names(len(tokens[0])), columns, strict=True)))


def _column_names(width: int) -> list[str]:
    middle = [f"column_{number}" for number in range(2, width)]
    return ["tokens", *middle, *(["tags"] if width > 1 else [])]


def _split_columns(line: str) -> list[str]:
    # A tab keeps an empty token apart from its tag; str.split() would also cut at a no-break space.
    return line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))


def looks_like_conll(lines: Iterable[Line], probe: int = 200) -> bool:
    """True where every one of the first lines is blank or ends in a column that is a tag.

    Tags of another form (`PER`, `B_PER`) are told by their columns, as many in each line, and by O
    as the last of at least half.
    """
    filled = [line for _, line, _ in islice(lines, probe) if line.strip(" \t")]
    aside = [line.startswith(_DOCUMENT_START) or _COMMENT.fullmatch(line) for line in filled]
    fields = [_split_columns(line) for line, out in zip(filled, aside, strict=True) if not out]
    if not fields or min(map(len, fields)) < 2:
        return False
    last = [f[-1] for f in fields]
    as_many = len({len(f) for f in fields}) == 1
    return all(map(TAG.fullmatch, last)) or (as_many and 2 * last.count("O") >= len(last))


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
    for match in _WORD.finditer(text):
        start, end = match.span()
        if spans and spans[-1][1] == start and _joined(text[start - 1], text[start]):
            start = spans.pop()[0]
        spans.append((start, end))
    return [(text[start:end], start, end) for start, end in spans]


def _joined(before: str, after: str) -> bool:
    # \w leaves out combining marks, which would cut most Indic words into pieces.
    return _is_mark(after) or before == _JOINER or (_is_mark(before) and after.isalnum())


def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf") or "🏻" <= char <= "🏿"
