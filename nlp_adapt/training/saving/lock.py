"""One run at a time in a folder."""

from __future__ import annotations

from pathlib import Path

from nlp_adapt.file_lock import FileLock

LOCK_FILE = ".lock"


class RunLock(FileLock):
    """Holds a run's folder while it is entered as a context.

    Args:
        folder: The folder of the run; it is made where it does not exist.

    Raises:
        RunError: On entering, if another run holds the folder or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder / LOCK_FILE, name=f"output_dir {folder}", writer="run", place="folder"
        )
