"""How far each method says of the target what the others say, which needs no label of it."""

import json
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from nlp_adapt.comparing.training import Trained
from nlp_adapt.training.saving.run_folder import RunFolder

AGREEMENT = "agreement"
FEWEST = 3  # of two methods, either agrees with the other as far


def agreements(trained: Sequence[Trained]) -> dict[str, dict[int, float]]:
    """By method and seed, the mean share of target units of which it says what another method says.

    A method that has gone astray stands apart, however certain it is. After EnsV (Hu et al. 2024,
    "Towards Reliable Model Selection for Unsupervised Domain Adaptation", NeurIPS), which holds models
    against their ensemble.

    Returns:
        Nothing for a seed of which fewer than three methods have told their answers.
    """
    found: dict[str, dict[int, float]] = {one.method: {} for one in trained}
    for seed in sorted({seed for one in trained for seed in one.runs}):
        said = {one.method: _answers(one.folders[seed]) for one in trained if seed in one.runs}
        known = {name: own for name, own in said.items() if own is not None}
        if len(known) < FEWEST or len({len(own) for own in known.values()}) > 1:
            continue
        for name, share in shares_agreed(known).items():
            found[name][seed] = share
    return found


def shares_agreed(answers: Mapping[str, np.ndarray]) -> dict[str, float]:
    """By method, the mean share of units `[units]` of which it says what another one says."""
    return {
        name: statistics.mean(
            float((own == one).mean()) for other, one in answers.items() if other != name
        )
        for name, own in answers.items()
    }


def _answers(folder: str) -> np.ndarray | None:
    """What the run's adapted model says of a sample of the target; None where that is not kept."""
    run = RunFolder(folder)
    path = run.plots("adapted")
    if not path.is_file() or run.manifest.problems(path):
        return None
    said = json.loads(path.read_text(encoding="utf-8")).get("answers")
    return np.asarray(said) if isinstance(said, list) and said else None
