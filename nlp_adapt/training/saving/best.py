"""Keeping the weights that a label-free score likes best."""

import json
import logging
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from nlp_adapt.files import write_json, write_tensors
from nlp_adapt.validators import selecting_validator

LOGGER = logging.getLogger(__name__)


class BestModel:
    """The best task model of a run so far, on disk, so that an interruption does not lose it."""

    def __init__(self, folder: Path, metric: str, *, keep: bool = True) -> None:
        selecting_validator(metric)
        self.metric = metric
        self._keep = keep
        self._weights = folder / "best.safetensors"
        self._record = folder / "best.json"

    def consider(self, model: Any, scores: dict[str, float], step: int) -> bool:
        """Keep the model if its score is the highest so far; an equal later one replaces it.

        Args:
            scores: Label-free scores by name; without the deciding one nothing happens.
        """
        score = scores.get(self.metric)
        if score is None:
            return False
        best = self.record()
        # A resumed run passes evaluations again that it had seen before it was interrupted.
        if best is not None and best["step"] < step and best["score"] > score:
            return False
        if best is not None and best["step"] > step:
            return False
        if self._keep:
            write_tensors(self._weights, model.state_dict())
            write_json(self._record, {"metric": self.metric, "score": score, "step": step})
        return True

    def record(self) -> dict[str, Any] | None:
        """What the best model scored and when, or None."""
        if not self._record.is_file():
            return None
        return json.loads(self._record.read_text(encoding="utf-8"))

    def restore(self, model: Any) -> dict[str, Any] | None:
        """Put the best weights into `model`; returns their record, or None where none was scored."""
        best = self.record()
        if best is not None:
            model.load_state_dict(load_file(self._weights), strict=False)
        elif self._keep:
            LOGGER.warning(
                "%s was never measured during training, so the model keeps its last weights: set "
                "eval_strategy to epoch or steps and keep validation rows, or set "
                "load_best_model_at_end to false.",
                self.metric,
            )
        return best

    def forget(self) -> None:
        """Delete what is kept, before another model of the run trains."""
        self._weights.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
