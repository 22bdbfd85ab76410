"""Where a run stands, in the words of transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nlp_adapt.training.saving.run_folder import RunFolder


def trainer_state(folder: RunFolder, results: Mapping[str, Any]) -> Any:
    """A `transformers.TrainerState` whose `log_history` holds the lines of log.jsonl.

    Each line says of which `model` of the run it is; the other numbers are those of the adapted one.
    """
    from transformers import TrainerState

    history = []
    if folder.log.is_file():
        for text in folder.log.read_text(encoding="utf-8").splitlines():
            try:
                history.append(json.loads(text))
            except ValueError:  # a line that an interruption cut short
                break
    scores = results.get("adapted") or {}
    best = scores.get("best") or {}
    return TrainerState(
        global_step=scores.get("steps", 0),
        max_steps=scores.get("steps", 0),
        log_history=history,
        best_metric=best.get("score"),
        best_global_step=best.get("step"),
    )
