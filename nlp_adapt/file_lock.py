"""One writer at a time.

The lock is the operating system's own on an open file, so that a process that dies in any way
leaves nothing to clean up: a lock file without its process is free.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import IO, Any

from nlp_adapt.errors import RunError

try:
    import fcntl
except ImportError:  # Windows has no such lock: two writers are not detected there
    fcntl = None  # type: ignore[assignment]


class FileLock:
    """Holds a lock file while it is entered as a context.

    Args:
        path: The lock file, made on entering and removed on leaving; its folder is made as well.
        name: What is being written, as the user named it, such as `output_dir runs/mine`.
        writer: What writes there, such as `run`.
        place: What the user could choose another of, such as `folder`.

    Raises:
        RunError: On entering, if another process holds the lock or the file cannot be written.
    """

    def __init__(self, path: Path, *, name: str, writer: str, place: str) -> None:
        self.path = path
        self.name = name
        self.writer = writer
        self.place = place
        self._file: IO[str] | None = None

    def __enter__(self) -> FileLock:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._take()
        except OSError as error:
            raise RunError(
                f"{self.name}: cannot be written ({error.strerror or error}); choose another "
                f"{self.place}."
            ) from error
        return self

    def _take(self) -> None:
        while self._file is None:
            file = self.path.open("a+", encoding="utf-8")
            if not _lock(file):
                holder = _holder(self.path)
                file.close()
                raise RunError(
                    f"{self.name}: another {self.writer} is writing there{holder}; wait for it, "
                    f"stop it, or choose another {self.place}."
                )
            if not _is_current(file, self.path):  # its last holder has removed it meanwhile
                file.close()
                continue
            self._file = file
        self._file.truncate(0)
        json.dump({"process": os.getpid(), "machine": platform.node()}, self._file)
        self._file.flush()

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def _lock(file: IO[str]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_current(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        holder: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return f" (process {holder.get('process')} on {holder.get('machine')})"
