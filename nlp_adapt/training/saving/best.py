"""Keeping the weights that a label-free score likes best."""

import json
import logging
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import RunError
from nlp_adapt.files import checksums, damage, write_json, write_tensors
from nlp_adapt.validators import selecting_validator

LOGGER = logging.getLogger(__name__)
RECORD = "best.json"


class BestModel:
    """The best task model of a run so far, on disk, so that an interruption does not lose it."""

    def __init__(self, folder: Path, metric: str, *, keep: bool = True) -> None:
        selecting_validator(metric)
        self.metric = metric
        self._folder = folder
        self._keep = keep

    @classmethod
    def of(cls, config: AdaptationConfig, folder: Path, *, keep: bool) -> "BestModel | None":
        """Where the best weights of a model are kept, if the recipe asks for them.

        One rule picks the checkpoint of both models: what it gains by itself is no adaptation.
        """
        if not config.load_best_model_at_end:
            return None
        return cls(folder, config.metric_for_best_model, keep=keep)

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
            # A name of its own for each: until the record is replaced, the old weights are there.
            weights = self._folder / f"best-{step}.safetensors"
            write_tensors(weights, model.state_dict())
            said = {"metric": self.metric, "score": score, "step": step}
            write_json(
                self._folder / RECORD, {**said, "weights": checksums([weights], self._folder)}
            )
            for path in self._folder.glob("best-*.safetensors"):
                if path != weights:
                    path.unlink(missing_ok=True)
        return True

    def record(self) -> dict[str, Any] | None:
        """What the best model scored and when, or None."""
        best = _record(self._folder)
        return None if best is None else {name: best[name] for name in ("metric", "score", "step")}

    def restore(self, model: Any) -> dict[str, Any] | None:
        """Put the best weights into `model`; returns their record, or None where none was scored.

        Raises:
            RunError: If they are damaged.
        """
        best = _record(self._folder)
        if best is not None:
            if problem := best_damage(self._folder):
                raise RunError(f"{problem} Run again with --resume to train from before it.")
            (name,) = best["weights"]
            model.load_state_dict(load_file(self._folder / name), strict=False)
        elif self._keep:
            LOGGER.warning(
                "%s was never measured during training, so the model keeps its last weights: set "
                "eval_strategy to epoch or steps and keep validation rows, or set "
                "load_best_model_at_end to false.",
                self.metric,
            )
        return self.record()


def best_damage(folder: Path, since: int = 0) -> str | None:
    """What is wrong with the best weights, of step `since` or later, in `folder`, or None."""
    best = _record(folder)
    if best is None or best["step"] < since:
        return f"{folder / RECORD}: missing or damaged, and with it the best weights so far."
    ((name, expected),) = best["weights"].items()
    return damage(folder / name, expected)


def _record(folder: Path) -> dict[str, Any] | None:
    try:
        best = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        ((name, _),) = best["weights"].items()
        whole = Path(name).name == name and {"metric", "score", "step"} <= best.keys()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return best if whole else None
