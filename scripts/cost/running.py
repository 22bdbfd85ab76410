"""Each measurement in a process of its own, so that its memory holds nothing of another's."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]


class MeasurementError(RuntimeError):
    """A process that measured has failed."""


def forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a child of this process, which has imported what it needs.

    This process must have computed nothing: threads do not outlive a fork.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(function, *arguments).result()


def launched(spec: dict[str, Any], processes: int, threads: int) -> dict[str, Any]:
    """What `cost.measure` finds in new processes.

    Raises:
        MeasurementError: If one of them fails; with the last line that it wrote.
    """
    with TemporaryDirectory() as folder:
        given, out = Path(folder) / "spec.json", Path(folder) / "found.json"
        given.write_text(json.dumps({**spec, "folder": folder}), encoding="utf-8")
        command = [sys.executable]
        if processes > 1:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += ["--nproc-per-node", str(processes)]
        command += ["-m", "cost.measure", str(given), str(out)]
        done = subprocess.run(
            command, env=_environment(threads), capture_output=True, text=True, check=False
        )
        if done.returncode or not out.is_file():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise MeasurementError(_reason(said))
        return json.loads(out.read_text(encoding="utf-8"))


def _reason(said: list[str]) -> str:
    """The line that names the error: the last one, but of torchrun the worker's own."""
    errors = [line for line in said if "Error: " in line and not line.startswith(" ")]
    return (errors or said or ["it said nothing"])[0 if errors else -1].strip()


def _environment(threads: int) -> dict[str, str]:
    places = (str(SCRIPTS), str(SCRIPTS.parent), os.environ.get("PYTHONPATH", ""))
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
        "TOKENIZERS_PARALLELISM": "false",
    }
