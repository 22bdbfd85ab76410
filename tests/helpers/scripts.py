"""The folder scripts/, whose files import each other by name."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@contextlib.contextmanager
def scripts_on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, they can be imported; afterwards they are forgotten."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for path in SCRIPTS.glob("*.py"):
        sys.modules.pop(path.stem, None)
