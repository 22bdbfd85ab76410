"""Starts two processes, and reads what they leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def launch(*words, code=0, timeout=300):
    """Run a module in two processes."""
    command = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    done = subprocess.run(
        [*command, "--nproc_per_node", "2", "-m", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert (done.returncode == 0) == (code == 0), done.stderr[-4000:]
    return done


def seen(folder, process=0):
    return json.loads((folder / f"process{process}.json").read_text())
