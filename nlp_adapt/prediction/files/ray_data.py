"""Labelling on several processes or machines: Ray Data brings each chunk of rows to a worker.

The command reads the rows and writes the parts, so that the workers need nothing but the model. One
that dies is replaced, and its chunk labelled again (https://docs.ray.io/en/latest/data/data.html).
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from math import ceil
from typing import Any

import pyarrow
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata
from tqdm import tqdm

from nlp_adapt.errors import AdaptationError, RunError, first_line
from nlp_adapt.escaping import for_bars
from nlp_adapt.prediction.files.parts import Parts
from nlp_adapt.prediction.files.rows import LabelledRows
from nlp_adapt.prediction.predictor import Predictor


def label_with_ray(
    rows: LabelledRows, parts: Parts, load: Callable[[], Predictor], workers: int | None = None
) -> None:
    """Label what is not done yet, each chunk in one of the workers.

    Args:
        load: Opens the model, once in each worker.
        workers: How many; default: one for each GPU of the cluster, or else for each machine.

    Raises:
        AdaptationError: What a worker or the reader refuses, as if it had happened here.
        RunError: If Ray cannot go on.
    """
    bare = copy(rows)
    bare.labeller = copy(rows.labeller)
    bare.labeller.predictor = None
    with _cluster(), tqdm(unit="row", file=for_bars(), disable=None, leave=False) as bar:
        read = ray.data.read_datasource(
            _Chunks(bare, parts.done()), override_num_blocks=1, num_cpus=0
        )
        answers = read.map_batches(
            _Worker,
            fn_constructor_args=(bare, load),
            batch_size=1,
            batch_format="pyarrow",
            **_shares(workers),
        )
        for row in answers.iter_rows():
            answer = pickle.loads(row["content"])
            if isinstance(answer, AdaptationError):
                raise answer
            parts.write(row["number"], *answer)
            bar.update(sum(answer[2][name] for name in ("rows", "rejected")))


class _Chunks(Datasource):
    """The chunks of a file that are not `done`, read where the command runs."""

    supports_distributed_reads = False

    def __init__(self, rows: LabelledRows, done: frozenset[int]) -> None:
        super().__init__()
        self.rows, self.done = rows, done

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown: the file is read as its chunks are asked for."""
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """One task, since most formats can only be read from their start."""
        return [ReadTask(self._blocks, BlockMetadata(None, None, None, None))]

    def _blocks(self) -> Iterator[pyarrow.Table]:
        number = -1
        try:
            for number, chunk in self.rows.chunks():
                if number not in self.done:
                    yield _block(number, chunk)
        except AdaptationError as error:
            yield _block(number + 1, error)


class _Worker:
    """Labels chunks; it opens the model for the first one, and then holds it."""

    def __init__(self, rows: LabelledRows, load: Callable[[], Predictor]) -> None:
        self.rows, self.load = rows, load

    def __call__(self, block: pyarrow.Table) -> pyarrow.Table:
        """The answer of `LabelledRows.label` to the one chunk in `block`, or what is refused."""
        (row,) = block.to_pylist()
        found = pickle.loads(row["content"])
        if not isinstance(found, AdaptationError):
            try:
                labeller = self.rows.labeller
                labeller.predictor = labeller.predictor or self.load()
                found = self.rows.label(found)
            except AdaptationError as error:
                found = error
        return _block(row["number"], found)


def _block(number: int, content: Any) -> pyarrow.Table:
    return pyarrow.table({"number": [number], "content": [pickle.dumps(content)]})


@contextmanager
def _cluster() -> Iterator[None]:
    """Inside, Ray is connected to the cluster of RAY_ADDRESS, or to one of its own on this machine."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    kept = context.target_max_block_size, context.enable_progress_bars
    # Chunks are not gathered into larger blocks: each goes to a worker, and is written, by itself.
    context.target_max_block_size, context.enable_progress_bars = 1, False
    own = not ray.is_initialized()
    try:
        if own:
            _connect()
        yield
    except ray.exceptions.RayError as error:
        raise RunError(
            f"Ray cannot go on ({first_line(error)}); what is done is kept: run the same command again."
        ) from error
    finally:
        context.target_max_block_size, context.enable_progress_bars = kept
        if own:
            ray.shutdown()


def _connect() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it tells its makers of each use
    # It calls every pool of actors that may be restarted an error, since their arguments could be lost.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray's own are of no common class
        raise RunError(
            f"Ray cannot be started or reached ({first_line(error)}): see to RAY_ADDRESS and the "
            "cluster's logs, or leave out --engine."
        ) from error


def _shares(workers: int | None) -> dict[str, Any]:
    """What each worker gets of the cluster: GPUs where there are any, or else processors."""
    gpus = int(ray.cluster_resources().get("GPU", 0))
    machines = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    machines = [processors for processors in machines if processors] or [1]
    count = workers or gpus or len(machines)
    pool = {"compute": ActorPoolStrategy(size=count)}
    if gpus:
        return {**pool, "num_gpus": 1 / ceil(count / gpus)}
    share = min(machines) / ceil(count / len(machines))
    return {**pool, "num_cpus": int(share) if share >= 1 else share}
