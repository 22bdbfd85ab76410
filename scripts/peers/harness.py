"""What every adapter shares: the job that it is given, the meter that reads all alike, its one line.

`python ADAPTER JOB.json` trains what the job says and writes one line of JSON to the job's `out`. Nothing
here knows the package that is compared, so that it runs in any peer's environment. Labels of the test rows
are not in a job: whoever wrote it scores the answers.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEFT_OUT = 0.2  # of the steps, at the start: each new shape is slow once
LIBRARIES = ("torch", "transformers", "numpy", "scikit-learn")
# What a trained model says of texts: probabilities of the classes, or tags of words.
Predict = Callable[[Sequence[Any]], list[Any]]


@dataclass(frozen=True)
class Job:
    """Rows and settings, the same for every peer.

    Attributes:
        texts: Strings, or lists of words where `words` is true, by side: source, target, few, test.
        labels: Class numbers of `source` and `few`; of words, lists of tag numbers.
    """

    method: str
    seed: int
    words: bool
    label_names: list[str]
    texts: dict[str, list[Any]]
    labels: dict[str, list[Any]]
    encoder: str
    steps: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    warmup: float
    weight_decay: float
    max_length: int
    threads: int
    precision: str
    scratch: str
    out: str

    @property
    def warmup_steps(self) -> int:
        """Steps until the learning rate is reached; then it falls to 0 in a line."""
        return round(self.warmup * self.steps)


class Meter:
    """Counts real tokens where they are embedded and the time at each optimizer step, whoever trains.

    Only passes that learn count: not those of a teacher, of validation, or without gradients.
    """

    def __init__(self, vocabulary: int, padding: int) -> None:
        self.vocabulary, self.padding = vocabulary, padding
        self.tokens: Any = 0
        self.marks: list[tuple[float, float, int]] = []

    def __enter__(self) -> Meter:
        import torch
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self._forward = plain = torch.nn.Embedding.forward
        meter = self

        def counted(self: torch.nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
            if (
                self.num_embeddings == meter.vocabulary
                and torch.is_grad_enabled()
                and self.training
            ):
                meter.tokens += int((ids != meter.padding).sum())
            return plain(self, ids)

        torch.nn.Embedding.forward = counted  # type: ignore[method-assign]
        self._handle = register_optimizer_step_post_hook(self._mark)
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        torch.nn.Embedding.forward = self._forward  # type: ignore[method-assign]
        self._handle.remove()

    def _mark(self, *_: object) -> None:
        self.marks.append((time.perf_counter(), time.process_time(), self.tokens))

    @property
    def speeds(self) -> dict[str, float | None]:
        """Real tokens a second and a CPU second after the first steps; None without steps.

        What else runs on a machine takes time of a process, but hardly CPU time.
        """
        first = round(LEFT_OUT * len(self.marks))
        if len(self.marks) - first < 2:
            return {"tokens_per_second": None, "tokens_per_cpu_second": None}
        (start, cpu_start, before), (end, cpu_end, after) = self.marks[first], self.marks[-1]
        return {
            "tokens_per_second": (after - before) / (end - start),
            "tokens_per_cpu_second": (after - before) / (cpu_end - cpu_start),
        }


def main(train: Callable[[Job], Predict], *libraries: str) -> None:
    """Do the job that the command line names.

    Args:
        train: Loads, trains, and returns what predicts.
        libraries: Packages whose versions are told beside those that all have.
    """
    job = read_job(Path(sys.argv[1]))
    Path(job.out).write_text(json.dumps(do(job, train, libraries)) + "\n", encoding="utf-8")


def read_job(path: Path) -> Job:
    """The job in a file."""
    return Job(**json.loads(path.read_text(encoding="utf-8")))


def do(job: Job, train: Callable[[Job], Predict], libraries: Sequence[str] = ()) -> dict[str, Any]:
    """Train and predict; what it cost and what it answers."""
    import numpy as np
    import torch
    from transformers import AutoConfig, AutoTokenizer

    random.seed(job.seed)
    np.random.seed(job.seed)
    torch.manual_seed(job.seed)
    torch.set_num_threads(job.threads)
    vocabulary = AutoConfig.from_pretrained(job.encoder).vocab_size
    padding = AutoTokenizer.from_pretrained(job.encoder).pad_token_id
    loaded = peak_memory()
    started = time.perf_counter()
    with Meter(vocabulary, padding) as meter:
        predict = train(job)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time()
    peak = peak_memory()
    return {
        "answers": predict(job.texts["test"]),
        "tokens": meter.tokens,
        **meter.speeds,
        "train_seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": peak,
        "loaded_mib": loaded,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in (*LIBRARIES, *libraries)},
        },
        "machine": machine(),
    }


def peak_memory() -> float:
    """Most MiB that this process has held."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Unlike getrusage's, it does not begin with what the process that started this one held.
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 1024


def machine() -> dict[str, Any]:
    """What the job ran on."""
    import torch

    name = platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"device": device, "processor": name, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
            "load": round(os.getloadavg()[0], 1)}  # fmt: skip
