"""Shares of the classes in a target, as the user knows them, and decisions that keep to them.

A model carries its source's class frequencies into a target where others hold. Where the user knows
these, one constant per class, added to its logits, puts the decisions right (Saerens et al. 2002,
"Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 14(1)).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from nlp_adapt.errors import ConfigError
from nlp_adapt.names import label_key
from nlp_adapt.usual_names import nearest

OPTION = "target_class_shares"
ROUNDING = 0.01  # three shares of 0.33 are meant to be all
# As shares of the logits' spread: in the end, hardly softer than their argmax.
TEMPERATURES = np.geomspace(1.0, 0.01, 9)
MOST_STEPS = 200
CLOSE = 5e-4
# Fewer let five labels do harm; more waste fifty (docs/benchmarks/few_labels.md).
PRIOR_ROWS = 20
LEAST_SHARE = 0.01
RARELY = 1e-4  # how often a class is said at least that a model never says


def told_shares(given: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    """`[classes]` shares that sum to 1, in the order of `names`.

    One class may be missing where the others leave something for it.

    Args:
        given: Shares by name, each above 0 and below 1.

    Raises:
        ConfigError: If a class is unknown or missing, or the sum is not 1.
    """
    keys = {label_key(name): name for name in names}
    found = {}
    for name, share in given.items():
        if label_key(name) not in keys:
            raise ConfigError(
                f"{OPTION}: there is no class '{name}'{nearest(name, names)} "
                f"(there are {', '.join(names)})"
            )
        found[keys[label_key(name)]] = share
    total = sum(found.values())
    missing = [name for name in names if name not in found]
    listed = " + ".join(f"{share:g}" for share in found.values())
    if len(missing) > 1:
        raise ConfigError(
            f"{OPTION} says nothing of {', '.join(missing)}: one class may be left out, no more."
        )
    if missing and total > 1 - 1e-6:
        raise ConfigError(f"{OPTION}: {listed} leaves nothing for {missing[0]}: the sum must be 1.")
    if not missing and abs(total - 1) > ROUNDING + 1e-9:
        raise ConfigError(f"{OPTION}: {listed} is {total:g}, but the shares must sum to 1.")
    shares = np.array([found.get(name, 1 - total) for name in names])
    return shares / shares.sum()


def predicted_shares(logits: np.ndarray) -> np.ndarray:
    """`[classes]` share of the units `[units, classes]` for which each class is predicted."""
    return np.bincount(logits.argmax(-1), minlength=logits.shape[-1]) / max(len(logits), 1)


def shares_from_labels(
    labels: np.ndarray, predicted: np.ndarray, logits: np.ndarray | None = None
) -> np.ndarray:
    """`[classes]` shares of a target, from a few labels of rows drawn from it at random.

    The predicted shares, put right by what the labelled rows say they miss (Angelopoulos et al. 2023,
    "Prediction-Powered Inference", Science 382). `PRIOR_ROWS` rows on which nothing is missed are
    counted beside them, so that five labels move the shares a little, and two hundred nearly all the
    way.

    Args:
        labels: `[rows]` class indices.
        predicted: `[classes]` shares that the model predicts on the unlabelled target.
        logits: `[rows, classes]` of the labelled rows; without them (the model may have trained on
            them), the labels are compared with `predicted`.
    """
    counts = np.bincount(labels, minlength=len(predicted))
    expected = len(labels) * (predicted if logits is None else predicted_shares(logits))
    shares = predicted + (counts - expected) / (len(labels) + PRIOR_ROWS)
    shares = shares.clip(LEAST_SHARE)
    return shares / shares.sum()


def aligning_bias(logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """`[classes]` constants, of sum 0, with which the predictions have these shares.

    They solve the optimal transport of the units to the classes (Cuturi 2013, "Sinkhorn Distances",
    NeurIPS) at falling temperatures, so that in the end predictions, not probabilities, are counted.

    Args:
        logits: `[units, classes]`, at least one unit.
        shares: `[classes]`, of sum 1.
    """
    logits = logits.astype(np.float64)
    shares = shares.clip(RARELY)
    shares = shares / shares.sum()
    bias = -logits.mean(0)
    spread = max(float((logits + bias).std()), 1e-9)
    for temperature in TEMPERATURES * spread:
        for _ in range(MOST_STEPS):
            scaled = (logits + bias) / temperature
            weights = np.exp(scaled - scaled.max(-1, keepdims=True))
            found = (weights / weights.sum(-1, keepdims=True)).mean(0)
            bias += temperature * (np.log(shares) - np.log(np.clip(found, 1e-12, None)))
            if np.abs(found - shares).max() < CLOSE:
                break
    return bias - bias.mean()


def outside_bias(logits: np.ndarray, outside: int, share: float) -> np.ndarray:
    """`[classes]` constants, 0 but for `O`, with which it is said of this share of the words.

    Entity types keep their odds to each other: rare ones are neither starved nor fed.

    Args:
        logits: `[words, classes]`, at least one word.
        outside: The class of words in no entity.
    """
    margins = logits[:, outside] - np.delete(logits, outside, 1).max(-1)
    bias = np.zeros(logits.shape[1])
    bias[outside] = -np.quantile(margins, 1 - share)
    return bias
