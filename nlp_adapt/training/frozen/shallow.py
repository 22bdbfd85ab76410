"""Shallow baselines: a linear head fitted in closed form, or nearly, on frozen features.

Each reads what the model's last linear layer reads, and gives the weights of that layer, so that
the result is the same plain model with another head. They show in seconds what training the encoder
has to beat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nlp_adapt.config import nearest
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.modeling.architectures import output_layer
from nlp_adapt.prediction.predictor import predict_logits

MOST_TRANSPORTED = 2000
SUBSPACE_SIZE = 64
SHRINKAGE = 0.01


@dataclass(frozen=True)
class Features:
    """What the classifier reads of both domains.

    Attributes:
        source: `[units, size]` of the labelled source units.
        labels: `[units]` their classes.
        target: `[units, size]`, or None where the method reads no target.
        num_labels: Number of classes of the model.
        seed: For what is drawn.
    """

    source: np.ndarray
    labels: np.ndarray
    target: np.ndarray | None
    num_labels: int
    seed: int


Head = tuple[np.ndarray, np.ndarray]
"""Weights `[classes, size]` and biases `[classes]` of a linear layer on raw features."""


def logistic_regression(features: Features) -> Head:
    """Multinomial logistic regression on the standardised source."""
    return _fit(features.source, features.labels, features.num_labels)


def coral(features: Features) -> Head:
    """Source features whitened, then given the target's covariance and mean.

    Sun, Feng & Saenko 2016, "Return of Frustratingly Easy Domain Adaptation", AAAI. The classifier
    then fits target features as they are.
    """
    target = _target(features)
    moved = (features.source - features.source.mean(0)) @ _power(features.source, -0.5)
    moved = moved @ _power(target, 0.5) + target.mean(0)
    return _fit(moved, features.labels, features.num_labels)


def subspace_alignment(features: Features) -> Head:
    """The source's principal axes turned onto the target's.

    Fernando et al. 2013, "Unsupervised Visual Domain Adaptation Using Subspace Alignment", ICCV.
    The projection of the target is folded into the weights.
    """
    target = _target(features)
    size = min(SUBSPACE_SIZE, *features.source.shape, *target.shape)
    source_axes, target_axes = _axes(features.source, size), _axes(target, size)
    moved = (features.source - features.source.mean(0)) @ source_axes @ source_axes.T @ target_axes
    weights, biases = _fit(moved, features.labels, features.num_labels)
    folded = weights @ target_axes.T
    return folded, biases - folded @ target.mean(0)


def optimal_transport(features: Features) -> Head:
    """Source units carried onto the target by exact optimal transport.

    Courty et al. 2017, "Optimal Transport for Domain Adaptation", IEEE TPAMI 39(9), without the
    entropy term, so that there is nothing to tune; through POT. At most 2,000 units of each domain
    take part.

    Raises:
        ConfigError: If POT is not installed.
    """
    try:
        import ot
    except ImportError as error:
        raise ConfigError(
            "method optimal_transport needs the package POT: run `pip install nlp-adapt[ot]`."
        ) from error
    generator = np.random.default_rng([features.seed, 11])
    target = _sample(_target(features), generator)
    kept = _sample(np.arange(len(features.source)), generator)
    source, labels = features.source[kept], features.labels[kept]
    transport = ot.da.EMDTransport(norm="median", max_iter=1_000_000)
    transport.fit(Xs=source, ys=labels, Xt=target)
    return _fit(transport.transform(Xs=source), labels, features.num_labels)


FITS: Mapping[str, Callable[[Features], Head]] = {
    "logistic_regression": logistic_regression,
    "coral": coral,
    "subspace_alignment": subspace_alignment,
    "optimal_transport": optimal_transport,
}


def check_fit(name: str) -> None:
    """Refuse an unknown fit.

    Raises:
        ConfigError: With what there is.
    """
    if name not in FITS:
        known = sorted(FITS)
        raise ConfigError(
            f"unknown fit '{name}'{nearest(name, known)} (there is {', '.join(known)})"
        )


def fit_head(
    name: str,
    task_model: Any,
    rows: Mapping[str, EncodedRows],
    *,
    pad_id: int,
    precision: str = "fp32",
    seed: int = 0,
) -> None:
    """Fit the last linear layer of a task model on both domains' features, in place.

    Args:
        name: One of `FITS`.
        task_model: A classification model; nothing else of it changes.
        rows: Training rows by side.
        pad_id: Token id of padding.
        precision: Number format of the forward pass.
        seed: For what is drawn.

    Raises:
        ConfigError: If `name` is unknown or needs a package or a target that is not there.
        DataError: If the labelled source rows are all of one class.
    """
    check_fit(name)
    source, labels = _labelled(rows["source"], task_model, pad_id, precision)
    if len(np.unique(labels)) < 2:
        raise DataError("the labelled source rows are all of one class: nothing can be fitted.")
    target = None
    if name != "logistic_regression" and "target" in rows:
        target = read_features(task_model, rows["target"], pad_id=pad_id, precision=precision)
    layer = output_layer(task_model)
    weights, biases = FITS[name](Features(source, labels, target, layer.out_features, seed))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
        layer.bias.copy_(torch.from_numpy(biases))


def read_features(
    task_model: Any, rows: EncodedRows, *, pad_id: int, precision: str = "fp32"
) -> np.ndarray:
    """`[units, size]` inputs of the last linear layer, in the order of the rows' units."""
    features = np.zeros((rows.units, output_layer(task_model).in_features), dtype=np.float32)
    predict_logits(task_model, rows, pad_id=pad_id, precision=precision, features=features)
    return features.astype(np.float64)


def _labelled(
    rows: EncodedRows, task_model: Any, pad_id: int, precision: str
) -> tuple[np.ndarray, np.ndarray]:
    known = rows.labels >= 0
    features = read_features(task_model, rows, pad_id=pad_id, precision=precision)
    return features[known], rows.labels[known]


def _fit(features: np.ndarray, labels: np.ndarray, num_labels: int) -> Head:
    """Logistic regression on standardised features, as weights for the features as they are.

    A class without rows gets the bias -30, so that it is never predicted.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(0), features.std(0) + 1e-6
    model = LogisticRegression(C=0.1, max_iter=1000)
    model.fit((features - mean) / scale, labels)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row of numbers for the second class against the first
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    weights = np.zeros((num_labels, features.shape[1]))
    biases = np.full(num_labels, -30.0)
    weights[model.classes_] = coefficients / scale
    biases[model.classes_] = intercepts - (coefficients / scale) @ mean
    return weights, biases


def _power(features: np.ndarray, exponent: float) -> np.ndarray:
    """A power of the covariance `[size, size]`, shrunk towards a multiple of the identity."""
    covariance = np.cov(features, rowvar=False)
    level = np.trace(covariance) / len(covariance)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * max(level, 1e-12) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(shrunk)
    return (vectors * values.clip(1e-12) ** exponent) @ vectors.T


def _axes(features: np.ndarray, size: int) -> np.ndarray:
    """`[features, size]` orthonormal axes of the largest variance."""
    values, vectors = np.linalg.eigh(np.cov(features, rowvar=False))
    return vectors[:, np.argsort(values)[::-1][:size]]


def _target(features: Features) -> np.ndarray:
    if features.target is None:
        raise ConfigError("this method aligns the source with a target domain: set `target`.")
    if len(features.target) < 2:
        raise ConfigError("this method aligns spreads: the target needs 2 texts or words at least.")
    return features.target


def _sample(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    if len(values) <= MOST_TRANSPORTED:
        return values
    return values[np.sort(generator.permutation(len(values))[:MOST_TRANSPORTED])]
