"""What a domain reference names: a file, a folder, a built-in domain, a Hub dataset, an object."""

import difflib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_adapt.data.reach import offline_if_unreachable
from nlp_adapt.data.reading.annotations import is_pair, refuse_bare_rows, unfold_all
from nlp_adapt.data.reading.files import read_file
from nlp_adapt.data.reading.folders import SPLIT_WORDS, data_files, documents, split_files
from nlp_adapt.data.reading.formats import ENDINGS, names_a_file
from nlp_adapt.data.reading.rows import (
    Table,
    is_column,
    items_of,
    table_from_dataset,
    table_of_items,
)
from nlp_adapt.errors import DataError, first_line

Splits = dict[str, list[Table]]


@dataclass(frozen=True)
class Reader:
    """Reads a file whole, as `read_file` does."""

    task: str
    quarantine: int = 0
    encoding: str | None = None

    def __call__(self, path: Path) -> Table:
        """The table that a file holds."""
        return read_file(path, self.task, self.quarantine, self.encoding)


HUB_ID = re.compile(
    r"(?P<path>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[^/:\s]*))?(?:/(?P<split>[^/:\s]+))?"
)


@dataclass
class Source:
    """Tables of one reference by split: train, validation, test, unlabelled."""

    name: str
    splits: Splits
    label_map: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_reference(reference: Any, read: Reader, split: str | None = None) -> list[Source]:
    """Find and read what a reference names; a list of references gives several sources.

    Raises:
        DataError: Nothing readable stands behind the reference.
    """
    if isinstance(reference, (list, tuple)) and not _is_rows(reference):
        if not reference:
            raise DataError("an empty list names no data.")
        refuse_bare_rows(reference)
        parts = (read_reference(part, read, split) for part in reference)
        return [source for sources in parts for source in sources]
    if isinstance(reference, (str, Path)):
        return [_read_named(str(reference).strip(), split, read)]
    if isinstance(reference, (list, tuple)) or is_column(reference):
        items = items_of(reference)
        items = unfold_all(items, [f"rows:{i}" for i in range(len(items))])
        return [Source("rows", {"train": [table_of_items(items)]})]
    return [_read_object(reference, split)]


def describe(reference: Any) -> str:
    """The reference as the user wrote it, or the kind of object it is."""
    if isinstance(reference, (str, Path)):
        return str(reference)
    if isinstance(reference, (list, tuple)) and not _is_rows(reference):
        return ", ".join(describe(part) for part in reference)
    return type(reference).__name__


def _is_rows(items: list | tuple) -> bool:
    """Whether a list holds rows (dicts, texts) rather than references to be merged.

    Strings are references unless one of them has white space in it and names no file.
    """
    if items and all(isinstance(item, str) for item in items):
        return any(re.search(r"\s", item.strip()) and not Path(item).exists() for item in items)
    return any(
        item is None or is_pair(item) or (isinstance(item, Mapping) and not _has_splits(item))
        for item in items
    )


def _has_splits(item: Any) -> bool:
    return type(item).__name__ == "DatasetDict"


# References by name


def _read_named(reference: str, split: str | None, read: Reader) -> Source:
    if not reference:
        raise DataError("an empty reference names no data: give a file, a folder or a Hub id.")
    if reference.startswith("builtin:"):
        from nlp_adapt.data.reading.builtin import DEFAULT_LABEL_MAPS, builtin_files

        name = reference.removeprefix("builtin:")
        source = _from_files(builtin_files(name), name, reference, split, read)
        source.label_map = DEFAULT_LABEL_MAPS.get(name, {})
        return source
    path = Path(reference).expanduser()
    if path.is_dir():
        return _read_folder(path, split, read)
    if path.exists():
        name = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
        return Source(name, {"train": [read(path)]})
    if path.parent.is_dir() and path.name and (found := _files_with_prefix(path)):
        return _from_files(found, path.name, reference, split, read)
    if _looks_like_path(reference, path):
        raise DataError(f"{reference} does not exist{_nearest_file(path)}.")
    return _read_hub(reference, split)


def _files_with_prefix(path: Path) -> list[Path]:
    found = split_files(path.parent)
    return [file for file, (prefix, _) in found.items() if prefix == path.name]


def _looks_like_path(reference: str, path: Path) -> bool:
    marked = reference.startswith((".", "/", "~")) or reference.endswith("/") or "\\" in reference
    if marked or names_a_file(path):
        return True
    # A misspelt prefix in a folder of data, rather than a dataset of a Hub user of that name.
    return "/" in reference and path.parent.is_dir() and bool(data_files(path.parent))


def _nearest_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return ""
    names = [file.name for file in folder.iterdir()]
    names += {prefix for prefix, _ in split_files(folder).values()}
    nearest = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {folder / nearest[0]}?)" if nearest else ""


def _read_folder(folder: Path, split: str | None, read: Reader) -> Source:
    if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
        from datasets import load_from_disk

        try:
            saved = load_from_disk(str(folder))
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{folder} is not a readable saved dataset ({first_line(error)})."
            ) from None
        return _read_object(saved, split, name=folder.name)
    files = data_files(folder)
    named = split_files(folder)
    if not named and (found := documents(folder, read.encoding)):
        return _from_documents(folder, found, files, split)
    if not files:
        raise DataError(f"{folder} holds no data files ({', '.join(ENDINGS)}, each also .gz).")
    prefixes = sorted({prefix for prefix, _ in named.values()})
    if len(prefixes) > 1:
        choice = folder / next(prefix for prefix in prefixes if prefix)
        raise DataError(
            f"{folder} holds the files of several domains "
            f"({', '.join(prefix or 'without a prefix' for prefix in prefixes)}): "
            f"give one of them by its prefix, such as {choice}."
        )
    return _from_files(list(named) or files, folder.name, str(folder), split, read)


def _from_documents(
    folder: Path, found: Splits, files: Sequence[Path], split: str | None
) -> Source:
    """A folder of brat's documents, or of texts in folders of their class."""
    if split is not None:
        found = {"train": found[_choose_split(split, list(found), str(folder))]}
    left = [] if any(folder.glob("*.ann")) else [file.name for file in files]
    unread = f"Not read, beside the folders of {folder.name}: {', '.join(left)}."
    return Source(folder.name, found, notes=[unread] if left else [])


def _from_files(
    files: Sequence[Path], name: str, reference: str, split: str | None, read: Reader
) -> Source:
    """Read files of one folder."""
    folder = files[0].parent
    roles = split_files(folder)
    splits: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        _, role = roles.get(file, ("", "train"))
        splits[role].append(file)
    if split is not None:
        chosen = splits[_choose_split(split, list(splits), reference)]
        return Source(name, {"train": [read(file) for file in chosen]})
    tables = {role: [read(file) for file in paths] for role, paths in splits.items()}
    prefix = f"{name}." if folder.name != name else ""
    own = set(files)
    left = [f.name for f in data_files(folder) if f not in own and f.name.startswith(prefix)]
    unread = f"Not read, because no split stands in the name: {', '.join(left)}."
    return Source(name, tables, notes=[unread] if left else [])


def _choose_split(split: str, available: list[str], reference: str) -> str:
    role = split if split in available else SPLIT_WORDS.get(split.lower(), split)
    if role not in available:
        raise DataError(
            f"{reference} has no split {split!r}: choose one of {', '.join(available)}."
        )
    return role


# The Hub


def _read_hub(reference: str, split: str | None) -> Source:
    match = HUB_ID.fullmatch(reference)
    if match is None:
        raise DataError(
            f"{reference!r} is neither a file or folder here, nor a built-in domain "
            "(builtin:...), nor a Hub id (name, user/name, name:config, name:config/split)."
        )
    import datasets

    path, config, wanted = match["path"], match["config"] or None, split or match["split"]
    try:
        with offline_if_unreachable():
            data = datasets.load_dataset(path, config, split=wanted)
    except datasets.exceptions.DatasetNotFoundError:
        raise DataError(
            f"{reference} is neither a file or folder here nor a dataset on the Hub that you may "
            "read: check the spelling, or log in with `hf auth login` if it is private or gated."
        ) from None
    except RuntimeError as error:
        reason = first_line(error)
        if "script" in str(error):
            reason = "it needs a loading script, and such code from the Hub is never run"
        raise DataError(f"the Hub dataset {reference} cannot be loaded: {reason}.") from None
    except (ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split("\n")[:2]).rstrip(".")
        raise DataError(f"the Hub dataset {reference} cannot be loaded: {reason}.") from None
    except OSError as error:
        raise DataError(
            f"{reference} is no file or folder here, and the Hub could not be reached for it "
            f"({first_line(error)}): without a network give a local file or folder, or a built-in "
            "domain such as builtin:snippets/movie."
        ) from None
    name = path if config is None else f"{path}:{config}"
    return _read_object(data, None, name=name)


def _read_object(data: Any, split: str | None, name: str = "dataset") -> Source:
    if type(data).__module__.partition(".")[0] == "pandas":
        from datasets import Dataset

        try:
            data = Dataset.from_pandas(data, preserve_index=False)
        except (TypeError, ValueError) as error:
            reason = ", ".join(map(str, error.args)) or type(error).__name__
            raise DataError(
                f"the data frame cannot be read ({reason}): give each column one type, such as "
                "text with astype(str)."
            ) from None
    from datasets import Dataset, DatasetDict

    if isinstance(data, Dataset):
        return Source(name, {"train": [table_from_dataset(data, f"{name}/{data.split or 'rows'}")]})
    if not isinstance(data, DatasetDict):
        raise DataError(
            f"{type(data).__name__} cannot be read as a domain: give a path, a Hub id, a "
            "Dataset, a DatasetDict, a data frame, a list of dicts or texts, or as the target, with "
            "streaming=True, an IterableDataset."
        )
    if split is not None:
        chosen = _choose_split(split, list(data), name)
        return Source(name, {"train": [table_from_dataset(data[chosen], f"{name}/{chosen}")]})
    roles = {key: role for key in data if (role := SPLIT_WORDS.get(str(key).lower()))}
    if not roles and len(data) == 1:
        roles = dict.fromkeys(data, "train")
    if not roles:
        raise DataError(
            f"{name} has the splits {', '.join(data)}: say with split which of them to read."
        )
    splits: Splits = defaultdict(list)
    for key, role in roles.items():
        splits[role].append(table_from_dataset(data[key], f"{name}/{key}"))
    left = [str(key) for key in data if key not in roles]
    notes = [f"The splits {', '.join(left)} of {name} were not read."] if left else []
    return Source(name, dict(splits), notes=notes)
