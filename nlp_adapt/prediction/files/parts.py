"""An output file that is written in parts, so that an interrupted command can go on.

Beside `out.csv` a folder `.out.csv.parts` holds a file for each chunk of rows that is done. The
same command with the same input and options finds them and does the rest; then they are joined,
and the output appears at once and whole.
"""

import contextlib
import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nlp_adapt
from nlp_adapt.files import replacing, said_of

KEY = "key.json"
# Weights, and what else decides labels: names of classes, the tokenizer, members of an ensemble.
_MODEL_FILES = (".safetensors", ".json", ".txt")


@dataclass(frozen=True)
class Parts:
    """The finished parts of `out`, and where the rows go that were set aside."""

    out: Path
    rejected: Path

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        return self.out.with_name(f".{self.out.name}.parts")

    def open(self, key: Mapping[str, Any]) -> int:
        """Count the parts that are done already; those of another `key` are thrown away."""
        wanted = json.dumps(key, sort_keys=True, indent=1)
        with self._said_of():
            path = self.folder / KEY
            if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir()
                path.write_text(wanted, encoding="utf-8")
            return len(self.done())

    def done(self) -> frozenset[int]:
        """The numbers of the parts that are whole."""
        numbers = (int(path.stem) for path in self.folder.glob("*.done"))
        return frozenset(one for one in numbers if self._file(one, "data").is_file())

    def write(
        self, number: int, data: bytes, rejected: list[dict[str, Any]], summary: Mapping[str, Any]
    ) -> None:
        """Write part `number`; it counts once its summary is in place."""
        with self._said_of():
            self._write(self._file(number, "data"), data)
            if rejected:
                self._write(self._file(number, "rejected"), rejected_lines(rejected))
            staged = self._file(number, "staged")
            self._write(staged, json.dumps(summary).encode())
            os.replace(staged, self._file(number, "done"))

    def summaries(self) -> Iterator[dict[str, Any]]:
        """What was written with each part, in order."""
        for path in sorted(self.folder.glob("*.done")):
            yield json.loads(path.read_text(encoding="utf-8"))

    def first_rejected(self) -> str | None:
        """The first row that was set aside, and why."""
        for path in sorted(self.folder.glob("*.rejected")):
            row = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
            return f"{row['row']}: {row['reason']}"
        return None

    def discard(self) -> None:
        """Remove all parts: first what says that they are any, in case it is interrupted."""
        with contextlib.suppress(OSError):
            (self.folder / KEY).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def join(self, merge: Callable[[list[Path], Path], None]) -> None:
        """Make the output from all parts with `merge(parts, staged output)`, then remove them."""
        staged = self.folder / "joined"
        try:
            with self._said_of():
                merge(sorted(self.folder.glob("*.data")), staged)
                self._join_rejected()
                os.replace(staged, self.out)
        finally:
            staged.unlink(missing_ok=True)
        self.discard()

    def _join_rejected(self) -> None:
        """Replace what an earlier command has set aside."""
        parts = sorted(self.folder.glob("*.rejected"))
        if self.rejected.exists() and not self.rejected.is_file():  # such as /dev/stderr
            with self.rejected.open("wb") as stream:
                copy_all(parts, stream)
            return
        if not parts:
            self.rejected.unlink(missing_ok=True)
            return
        with replacing(self.rejected) as staged, staged.open("wb") as file:
            copy_all(parts, file)

    def _file(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:09d}.{kind}"

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _said_of(self) -> AbstractContextManager[None]:
        return said_of(f"--out {self.out}", "run the same command again: what is done is kept")


def rejected_lines(rows: list[dict[str, Any]]) -> bytes:
    """Rows that were set aside, a JSON object a line."""
    return "".join(json.dumps(row, default=str) + "\n" for row in rows).encode()


def copy_all(parts: list[Path], file: BinaryIO | gzip.GzipFile) -> None:
    """Append the content of each part to an open file."""
    for path in parts:
        with path.open("rb") as part:
            shutil.copyfileobj(part, file)


def key_of(source: list[Any], model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the parts depend on: the input, known by `source`, the model's files, the options."""
    folder = Path(model)
    files = sorted(folder.rglob("*")) if folder.is_dir() else []
    files = [path for path in files if path.suffix in _MODEL_FILES]
    return {
        "input": source,
        "model": [
            model,
            [[str(path.relative_to(folder)), path.stat().st_mtime_ns] for path in files],
        ],
        "options": dict(options),
        "version": nlp_adapt.__version__,
    }
