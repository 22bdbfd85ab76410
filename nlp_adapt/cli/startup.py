"""Importing what a command needs, without looking for garbage in it meanwhile."""

from __future__ import annotations

import gc
import importlib
from functools import cache

_TRAINING = ("nlp_adapt.training.trainer", "transformers.modeling_utils", "peft", "sklearn.metrics")


@cache
def import_training() -> None:
    """Import what training needs, once in a process.

    Every few hundred new objects set off Python's search for cycles of garbage. While modules are
    imported it finds none, and takes a fifth of the time; afterwards it need not look through
    their objects ever again.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        for name in _TRAINING:
            importlib.import_module(name)
        gc.freeze()
    finally:
        if searching:
            gc.enable()
