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
    own = {path.stem for path in SCRIPTS.iterdir() if path.is_dir() or path.suffix == ".py"}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]
