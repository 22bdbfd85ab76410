"""Hidden states on disk: one memory-mapped array a file, with a checksummed JSON header beside it.

A file is complete when its header is there: the header is written last. A file that does not match
its header is removed, as if it had never been made.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

FORMAT = 1
_BLOCK = 1 << 22
_logger = logging.getLogger(__name__)


def cache_key(*parts: bytes | str | np.ndarray) -> str:
    """SHA-256 over everything that the states depend on, as hex."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        content = np.ascontiguousarray(raw).data if isinstance(raw, np.ndarray) else raw
        digest.update(str(len(raw)).encode() + b":")
        digest.update(content)
    return digest.hexdigest()


def cached_states(
    folder: Path,
    key: str,
    shape: tuple[int, int],
    dtype: str,
    fill: Callable[[np.ndarray], None],
) -> np.ndarray:
    """The array that is stored under `key`, made by `fill` where it is not there yet.

    Args:
        folder: Where the files are.
        key: See `cache_key`.
        shape: `[tokens, size]`.
        dtype: `float32`, or `uint16` for the bits of bfloat16.
        fill: Writes every value of the empty array that it is given.

    Returns:
        The array, memory-mapped and read-only.

    Raises:
        OSError: The folder cannot be written.
    """
    header = {"format": FORMAT, "shape": list(shape), "dtype": dtype}
    found = _open(folder, key, header)
    if found is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / f".{key}-{uuid.uuid4().hex}"
    try:
        array = np.memmap(staged, dtype=dtype, mode="w+", shape=shape)
        fill(array)
        array.flush()
        del array
        written = {**header, "sha256": _sha256(staged)}
        os.replace(staged, _data(folder, key))
        staged.write_text(json.dumps(written), encoding="utf-8")
        os.replace(staged, _header(folder, key))
    finally:
        staged.unlink(missing_ok=True)
    return np.memmap(_data(folder, key), dtype=dtype, mode="r", shape=shape)


def has_room(folder: Path, needed: int) -> bool:
    """Whether `needed` bytes are at most half of what is free on the disk of `folder`."""
    place = folder
    while not place.exists():
        place = place.parent
    return needed <= shutil.disk_usage(place).free // 2


def is_cached(folder: Path, key: str) -> bool:
    """Whether states are stored under `key`; they may turn out to be damaged."""
    return _header(folder, key).is_file()


def _open(folder: Path, key: str, expected: dict[str, object]) -> np.ndarray | None:
    path = _data(folder, key)
    if not is_cached(folder, key):
        return None
    try:
        header = json.loads(_header(folder, key).read_text(encoding="utf-8"))
        good = {**expected, "sha256": _sha256(path)} == header
    except (OSError, ValueError):
        good = False
    if good:
        shape: Sequence[int] = header["shape"]
        return np.memmap(path, dtype=header["dtype"], mode="r", shape=tuple(shape))
    _logger.warning("%s: damaged (its checksum differs), so it is made anew.", path)
    _header(folder, key).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return None


def _data(folder: Path, key: str) -> Path:
    return folder / f"{key}.states"


def _header(folder: Path, key: str) -> Path:
    return folder / f"{key}.json"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
