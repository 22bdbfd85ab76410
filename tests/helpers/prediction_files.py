"""Files to predict from and files of predictions."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

Cli = Callable[..., tuple[int, str, str]]
WORDS = ("good", "bad", "film", "phone", "dull", "great")


def texts(count: int) -> list[str]:
    return [
        " ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 2 + i % 5)) for i in range(count)
    ]


def write_csv(path: Path, count: int) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["id", "text"], *([i, text] for i, text in enumerate(texts(count)))]
        )
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
