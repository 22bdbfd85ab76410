"""Files that are whole or not there: atomic writes, checksums, and one writer at a time."""

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nlp_adapt.errors import RunError

_BLOCK = 1 << 20


def sha256(path: Path, size: int | None = None) -> str:
    """SHA-256 of a file, or of its first `size` bytes, as hex."""
    digest = hashlib.sha256()
    left = path.stat().st_size if size is None else size
    with path.open("rb") as file:
        while block := file.read(min(left, _BLOCK)):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def text_hash(text: str) -> str:
    """SHA-256 of a text as hex; half surrogates count as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; synced, then put in its place, so that it is whole or old.

    The folder is made where it is missing. After an error nothing is left behind.
    """
    staged = path.with_name(f".{path.name}.staged")
    try:
        with said_of(path, _AGAIN):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield staged
            sync(staged)
            os.replace(staged, path)
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, so that the file is either the old or the new one, whole."""
    with replacing(path) as staged:
        staged.write_text(text, encoding="utf-8", errors="surrogatepass", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, so that the file is either the old or the new one, whole."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write tensors as safetensors, so that the file is either the old or the new one, whole."""
    from safetensors.torch import save_file

    # Clones part tensors that share memory, which safetensors refuses.
    parted = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with replacing(path) as staged:
        save_file(parted, staged)


def flattened(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Tensors of named groups under names such as `group.tensor`."""
    return {
        f"{group}.{name}": value for group, own in groups.items() for name, value in own.items()
    }


def nested(tensors: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Tensors by group and name, as they were before `flattened`."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in tensors.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    return groups


def write_folder(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write(folder)` fill a folder beside `path`, then put it in its place.

    After an error nothing is left behind, and what was at `path` stays.

    Raises:
        RunError: If the disk is full or the folder cannot be written.
    """
    staged = path.with_name(f".{path.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        with said_of(path, _AGAIN):
            staged.mkdir(parents=True)
            write(staged)
            for file in [*(file for file in staged.rglob("*") if file.is_file()), staged]:
                sync(file)
            if path.exists():
                shutil.rmtree(path)
            os.rename(staged, path)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextlib.contextmanager
def said_of(path: Path | str, rest: str = "try again") -> Iterator[None]:
    """Inside, what the disk refuses is a RunError about `path`; `rest` says what to do then."""
    try:
        yield
    except (RunError, BrokenPipeError):
        raise
    except Exception as error:
        # Libraries in Rust (tokenizers, safetensors) raise errors of their own for what it says.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if not isinstance(error, OSError) and "os error" not in str(error):
            raise
        if isinstance(error, shutil.Error):  # of a copied folder: what each of its files met with
            reason = str(error.args[0][-1][-1])
        raise RunError(
            f"{path}: cannot be written ({reason or error}); free some space or see to the "
            f"folder's permissions, and {rest}."
        ) from error


_AGAIN = "try again: nothing half-written is left"
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def full_disk(error: BaseException) -> str | None:
    """A sentence where a full disk, or a limit to the size of files, is behind an error."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno in _FULL:
            place = found.filename or "a file (of the output, or in the folder for temporary files)"
            return f"{place}: cannot be written ({found.strerror}); free some space and try again."
        found = found.__cause__ or found.__context__
    return None


def checksums(files: Iterable[Path], root: Path) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of each file, by its path below `root`."""
    return {
        path.relative_to(root).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(files)
    }


def damage(path: Path, expected: Any) -> str | None:
    """What is wrong with a file of which `checksums` once said `expected`, or None."""
    if not path.is_file():
        return f"{path}: missing."
    try:
        same = path.stat().st_size == expected["bytes"] and sha256(path) == expected["sha256"]
    except (KeyError, TypeError):
        same = False
    return None if same else f"{path}: damaged (its SHA-256 differs from the manifest)."


class Manifest:
    """A file with the checksums of what is finished in the folder of a run.

    Model cards are left out: people edit them, and nothing is read from them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "adaptation" / "manifest.json"

    def seal(self, *paths: Path) -> None:
        """Take down the checksums of files and whole folders as they are now."""
        kept = {
            name: sums
            for name, sums in (self._read() or {}).items()
            if not any(_is_below(self.root / name, path) for path in paths)
        }
        files = [file for path in paths for file in _files(path)]
        write_json(self.path, {**kept, **checksums(files, self.root)})

    def problems(self, *paths: Path) -> list[str]:
        """What is wrong with files and folders that were sealed, a sentence each."""
        known = self._read()
        if known is None:
            return [f"{self.path}: missing or unreadable, so nothing vouches for the run's files."]
        found = []
        for path in paths:
            sealed = {self.root / name for name in known if _is_below(self.root / name, path)}
            strange = [file for file in _files(path) if file not in sealed]
            found += [
                f"{one}: not in {self.path.name}, so nothing vouches for it." for one in strange
            ]
            names = sorted(file.relative_to(self.root).as_posix() for file in sealed)
            found += filter(None, (damage(self.root / name, known[name]) for name in names))
        return found

    def _read(self) -> dict[str, Any] | None:
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return known if isinstance(known, dict) else None


def _files(path: Path) -> list[Path]:
    """The files that a manifest vouches for: `path` itself, or those in it."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    return [
        file
        for file in path.rglob("*")
        if file.suffix in (".json", ".safetensors", ".txt", ".model") and not file.is_symlink()
    ]


def _is_below(file: Path, path: Path) -> bool:
    return file == path or path in file.parents


@contextlib.contextmanager
def sole_writer(path: Path, *, name: str, writer: str, place: str) -> Iterator[None]:
    """Inside, this process holds a lock file that is gone, or free, however the process ends.

    Args:
        writer: What writes there, such as `run`.
        place: What the user could choose another of, such as `folder`.

    Raises:
        RunError: On entering, if another process holds the lock or the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        path.write_text(json.dumps({"process": os.getpid(), "machine": platform.node()}))
    except Timeout:
        raise RunError(
            f"{name}: another {writer} is writing there{_holder(path)}; wait for it, stop it, or "
            f"choose another {place}."
        ) from None
    except OSError as error:
        lock.release()
        raise RunError(
            f"{name}: cannot be written ({error.strerror or error}); choose another {place}."
        ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # one who waits for it sees that, and opens a new one
        lock.release()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f" (process {holder['process']} on {holder['machine']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
