"""Files that are whole or not there: atomic writes, hashes, and one writer at a time."""

import contextlib
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nlp_adapt.errors import RunError

_BLOCK = 1 << 20


def sha256(path: Path) -> str:
    """SHA-256 of a file as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.staged")
    try:
        yield staged
        sync(staged)
        os.replace(staged, path)
    finally:
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


def write_folder(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write(folder)` fill a folder beside `path`, then put it in its place."""
    staged = path.with_name(f".{path.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    write(staged)
    for file in [*(file for file in staged.rglob("*") if file.is_file()), staged]:
        sync(file)
    if path.exists():
        shutil.rmtree(path)
    os.rename(staged, path)


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
