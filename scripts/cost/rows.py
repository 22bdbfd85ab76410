"""The data side of a run, from a file to batches: what grows with the rows and not with the encoder."""

from __future__ import annotations

import gc
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speed.memory import forget_peak, memory_mib, peak_mib

from cost.points import CLASSES, whole_words
from nlp_adapt import load_domain
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.modeling.tokenizers import load_tokenizer
from nlp_adapt.names import SEQUENCE_CLASSIFICATION
from nlp_adapt.tasks import TASKS

BATCH = 32
MAX_LENGTH = 128
MEDIAN_WORDS = 20
SPREAD = 0.6
CPU = torch.device("cpu")


def measure_rows(rows: int, tokenizer_name: str, seed: int, batches: int) -> dict[str, Any]:
    """Processor seconds of reading, tokenising and pairing so many rows of each domain, and memory.

    Args:
        rows: Labelled source rows, and as many raw target rows.
        tokenizer_name: Whose tokens.
        seed: Of the rows.
        batches: How many batches are made.
    """
    torch.set_num_threads(1)
    with quiet_libraries(debug=False), tempfile.TemporaryDirectory() as folder:
        tokenizer = load_tokenizer(tokenizer_name)
        files = [
            write_rows(Path(folder), side, rows, tokenizer, seed) for side in ("source", "target")
        ]
        size = sum(file.stat().st_size for file in files)
        gc.collect()
        before = memory_mib(CPU)
        forget_peak(CPU)
        found: dict[str, Any] = {"rows": rows, "file_mib": round(size / 2**20, 2)}
        started = time.process_time()
        source, target = (load_domain(str(file), test_fraction=0.0) for file in files)
        found["reading"] = time.process_time() - started
        started = time.process_time()
        task = TASKS[SEQUENCE_CLASSIFICATION](CLASSES)
        given = {"source": source.splits["train"], "target": target.without_labels()}
        sides = {name: task.encode(one, tokenizer, MAX_LENGTH) for name, one in given.items()}
        found["tokenising"] = time.process_time() - started
        started = time.process_time()
        paired = PairedBatches(
            sides, total_steps=max(batches, rows // BATCH), batch_size=BATCH,
            pad_id=tokenizer.pad_token_id or 0, seed=seed, divide=True,
        )  # fmt: skip
        for number in range(batches):
            paired.step(number)
        found["pairing"] = time.process_time() - started
        tokens = sum(int(one.offsets[-1]) for one in sides.values())
        peak = peak_mib(CPU)
    return {**found, "batches": batches, "tokens": tokens, "peak_mib": round(peak, 1),
            "before_mib": round(before, 1)}  # fmt: skip


def write_rows(folder: Path, side: str, rows: int, tokenizer: Any, seed: int) -> Path:
    """A jsonl file of random rows of whole words, half of them longer than twenty."""
    generator = np.random.default_rng([seed, side == "target"])
    words = np.asarray(whole_words(tokenizer))
    lengths = np.exp(generator.normal(np.log(MEDIAN_WORDS), SPREAD, rows)).round().astype(int) + 1
    path = folder / f"{side}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, length in enumerate(lengths):
            row = {"text": " ".join(words[generator.integers(0, len(words), length)])}
            if side == "source":
                row["label"] = CLASSES[number % 2]
            file.write(json.dumps(row) + "\n")
    return path
