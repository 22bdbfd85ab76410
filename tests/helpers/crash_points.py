"""Kills a short run at its n-th file operation and resumes it, for many n.

What does not depend on the instant is done once: a whole run is trained before the process forks, so
that libraries are imported and have filled their caches, and its memory is frozen, so that the
children's garbage collection does not copy it. Each child draws random states of its own, as a new
process would. A worker for each core takes its share of the instants.
"""

import gc
import hashlib
import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from nlp_adapt.training.saving import checkpoint as checkpoint_module
from nlp_adapt.training.saving.checkpoint import verify
from tests.helpers.trainers import trainer_for

OPTIONS = {
    "method": "self_training",
    "max_steps": 3,
    "save_strategy": "steps",
    "save_steps": 1,
    "save_total_limit": 1,
    "discriminator_dropout": 0.3,
    "data_doctor": "off",
}
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


class Instants:
    """Counts file operations under a folder, and kills the process right before the n-th."""

    def __init__(self, folder, deadly=None):
        self.folder, self.deadly, self.count = str(folder), deadly, 0
        self.names = []

    def install(self):
        sys.addaudithook(self._on_event)
        plain_sync = os.fsync

        def fsync(handle):
            self.pass_one("fsync")
            plain_sync(handle)

        os.fsync = fsync
        for module in (checkpoint_module, safetensors.torch):
            module.save_file = self._torn(module.save_file)

    def pass_one(self, name):
        if self.count == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1
        self.names.append(name)

    def _on_event(self, event, arguments):
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in mode for letter in "wax+") if mode else flags & WRITING
            if not writes:
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        # Under shutil.rmtree paths are names within an open folder.
        text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else str(path)
        if text.startswith(self.folder) or event == "os.rmdir" or event == "os.remove":
            self.pass_one(f"{event} {Path(text).name}")

    def _torn(self, save_file):
        """Two instants of a tensor file: before it, and halfway through."""

        def save(tensors, path, *more, **options):
            self.pass_one("before tensors")
            save_file(tensors, path, *more, **options)
            if self.count == self.deadly:
                os.truncate(path, Path(path).stat().st_size // 2)
            self.pass_one("amid tensors")

        return save


def train(folder, deadly=None, resume=False):
    """One run; writes what it ended with, and how many instants it passed."""
    torch.set_num_threads(1)
    instants = Instants(folder / "run", deadly)
    trainer = trainer_for(folder, **OPTIONS, resume=resume)
    instants.install()
    results = trainer.train()
    files = [
        *(folder / "run").rglob("model.safetensors"),
        folder / "run" / "adaptation" / "objectives.safetensors",
    ]
    hashes = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
    }
    ledgers = {name: results[name]["ledger"] for name in ("source_only", "adapted")}
    steps = [json.loads(line) for line in (folder / "run" / "log.jsonl").open()]
    logged = [[line["model"], line["stage"], line["step"]] for line in steps if "loss" in line]
    left = sorted(path.name for path in (folder / "run").iterdir() if path.name.startswith("."))
    ended = {"hashes": hashes, "ledgers": ledgers, "logged": logged, "left": left}
    found = {"ended": ended, "instants": instants.names}
    (folder / "ended.json").write_text(json.dumps(found))


def start(job):
    """Run `job` in a child, whose random states are nobody else's."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            seed = int.from_bytes(os.urandom(4), "little")
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            job()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def fork(job):
    """Run `job` in a child to its end; its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(start(job), 0)[1])


def crash_and_resume(folder, deadly):
    """Kill a run at an instant and resume it; what it ended with."""
    killed = fork(lambda: train(folder, deadly))
    checkpoints = sorted((folder / "run" / "checkpoints").glob("step-*"))
    whole = [path.name for path in checkpoints if verify(path) is None]
    resumed = fork(lambda: train(folder, resume=True))
    ended = json.loads((folder / "ended.json").read_text())["ended"] if resumed == 0 else None
    return {"killed": killed, "resumed": resumed, "whole": whole, "ended": ended}


def try_all(folder, points):
    """Crash at each of the instants; the outcomes go to a file in `folder`."""
    folder.mkdir()
    outcomes = {}
    for point in points:
        place = folder / f"crash{point}"
        outcomes[point] = crash_and_resume(place, point)
        shutil.rmtree(place)
    (folder / "outcomes.json").write_text(json.dumps(outcomes))


def outcomes(folder, *points):
    """What becomes of runs that are killed at the given instants, or at each of them."""
    assert fork(lambda: _try_in_workers(folder, points)) == 0
    return json.loads((folder / "outcomes.json").read_text())


def _try_in_workers(folder, points):
    torch.set_num_threads(1)
    trainer_for(folder / "warm", **OPTIONS).train()
    gc.collect()
    gc.freeze()
    whole = folder / "whole"
    assert fork(lambda: train(whole)) == 0
    found = json.loads((whole / "ended.json").read_text())
    instants = found["instants"]
    points = sorted(range(len(instants))[point] for point in points) or range(len(instants))
    workers = min(len(os.sched_getaffinity(0)), len(points))
    shares = [folder / f"worker{worker}" for worker in range(workers)]
    children = [
        start(lambda share=share, mine=points[worker::workers]: try_all(share, mine))
        for worker, share in enumerate(shares)
    ]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * workers
    tried = {}
    for share in shares:
        tried |= json.loads((share / "outcomes.json").read_text())
    named = {f"{point} {instants[point]}": tried[str(point)] for point in points}
    (folder / "outcomes.json").write_text(
        json.dumps({"expected": found["ended"], "outcomes": named}, indent=1)
    )
