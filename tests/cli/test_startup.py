"""Imports without garbage collection, which then goes on as before."""

import gc
import subprocess
import sys

from nlp_adapt.cli.train import import_training

PROGRAM = """
import gc, sys
from nlp_adapt.cli import train
collected = []
gc.callbacks.append(lambda phase, info: collected.append(phase))
train.import_training()
assert not collected, collected
assert "peft" in sys.modules and gc.isenabled() and gc.get_freeze_count() > 10_000
kept = gc.get_freeze_count()
train.import_training()
assert gc.get_freeze_count() == kept
"""


def test_nothing_is_collected_while_modules_are_imported():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


def test_a_caller_without_collection_keeps_it_off():
    gc.disable()
    try:
        import_training.__wrapped__()
        assert not gc.isenabled()
    finally:
        gc.enable()
