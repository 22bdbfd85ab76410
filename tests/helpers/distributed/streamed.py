"""A run whose target streams from shards of unequal length, in one process or several.

As a program, under `torchrun`: `python -m tests.helpers.distributed.streamed FOLDER`.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches import pairing
from nlp_adapt.errors import RunStopped
from nlp_adapt.training import loop as loop_module
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain

# Two rows, a long shard, an empty one, one that ends with a window, and a single row.
SHARDS = (2, 45, 0, 24, 1)
ROWS = sum(SHARDS)
GLOBAL_BATCH = 8
PASSES = 3
STEPS = PASSES * ROWS // GLOBAL_BATCH


def write_shards(folder):
    """Every row is a pair of words of its own."""
    folder.mkdir(parents=True)
    pairs = iter([(i, j) for i in range(40, 49) for j in range(60, 68)])
    for number, size in enumerate(SHARDS):
        lines = [f"{WORDS[i]} {WORDS[j]}\n" for i, j in (next(pairs) for _ in range(size))]
        (folder / f"{number}.txt").write_text("".join(lines))


def train(folder, shards, processes, stop_at=None, resume=False):
    """Train over some passes; the results, and the target rows of each step in this process.

    Where the run is told to stop after a step, there are no results.
    """
    pairing.WINDOW_STEPS = 5  # windows end within passes, and passes within windows
    original = loop_module.StageLoop._forward_backward
    seen = []

    def watched(self, batches):
        rows = []
        for batch in batches:
            own = sorted(set(batch["unit_rows"][batch["domains"] == 1].tolist()))
            rows += batch["input_ids"][own, 1:3].tolist()
        seen.append(rows)
        if self.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batches)

    loop_module.StageLoop._forward_backward = watched
    args = AdaptationConfig(
        output_dir=str(folder / "run"),
        method="dann",
        streaming=True,
        shuffle_buffer_size=10,
        precision="fp32",
        max_steps=STEPS,
        per_device_train_batch_size=GLOBAL_BATCH // processes,
        compare_source_only=False,
        discriminator_dropout=0.0,
        eval_strategy="no",
        disable_tqdm=True,
        data_doctor="off",
        ddp_timeout=60,
        resume=resume,
    )
    try:
        source = toy_domain("reviews", 30)
        trainer = AdaptationTrainer(
            tiny_model(), args, source, str(shards), processing_class=tiny_tokenizer()
        )
        results = trainer.train()
    except RunStopped:
        results = None
    finally:
        loop_module.StageLoop._forward_backward = original
    return results, seen


def main(folder):
    """Train, go on with the run of one process in `FOLDER/stopped`, and write what was seen."""
    torch.set_num_threads(1)
    state = PartialState(cpu=True)
    results, seen = train(folder / "two", folder / "shards", state.num_processes)
    resumed, _ = train(folder / "stopped", folder / "shards", state.num_processes, resume=True)
    found = {
        "ledger": results["adapted"]["ledger"],
        "rows": seen,
        "resumed": resumed["adapted"]["ledger"],
        "notes": resumed["resumed"]["notes"],
    }
    (folder / f"process{state.process_index}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
