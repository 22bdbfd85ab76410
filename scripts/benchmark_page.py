"""The Markdown page of a benchmark: its table, and where, how and with what it was measured."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = tuple[str, str]


def table(rows: Sequence[Row]) -> str:
    """Measurements and their values as a Markdown table."""
    return "\n".join(["| measurement | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows)])


def write_page(path: Path, title: str, description: str, rows: Sequence[Row], verdict: str) -> None:
    """Write a benchmark's page.

    Args:
        path: The page.
        title: Its heading.
        description: What was measured, and how.
        rows: The table.
        verdict: What the numbers say beside their limits.
    """
    from nlp_adapt.training.results import versions

    command = shlex.join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    parts = (
        f"# {title}",
        description,
        f"Made by `{command}`.",
        table(rows),
        verdict,
        f"Versions: {json.dumps(versions())}. Machine: {json.dumps(machine())}.",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(path)


def machine() -> dict[str, Any]:
    """What the benchmark ran on."""
    import torch

    return {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "platform": platform.machine(),
        "load_at_the_end": round(os.getloadavg()[0], 1),
    }
