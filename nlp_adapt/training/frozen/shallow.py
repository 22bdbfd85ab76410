"""Shallow baselines: a linear head fitted on frozen features, in seconds.

A head reads what the model's last linear layer reads, and gives the weights of that layer, so that
the result is the same plain model with another head. It shows what training the encoder has to beat.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.modeling.architectures import output_layer
from nlp_adapt.prediction.predictor import predict_logits
from nlp_adapt.usual_names import nearest
from nlp_adapt.validators.scores import linear_map

FITS = ("coral", "logistic_regression")
SHRINKAGE = 0.01


def check_fit(name: str) -> None:
    """Refuse an unknown fit."""
    if name not in FITS:
        raise ConfigError(f"unknown fit '{name}'{nearest(name, FITS)} (there is {', '.join(FITS)})")


def fit_head(
    name: str,
    task_model: Any,
    rows: Mapping[str, EncodedRows],
    *,
    pad_id: int,
    precision: str = "fp32",
) -> None:
    """Fit the last linear layer of a task model, in place.

    Args:
        name: `logistic_regression` of the source's features, or `coral`, where these are given the
            covariance of the target's first.
        task_model: A classification model; nothing else of it changes.

    Raises:
        ConfigError: If `name` is unknown or needs a target that is not there.
        DataError: If the labelled source rows are all of one class.
    """
    check_fit(name)
    known, labels = rows["source"].labels >= 0, rows["source"].labels
    features = read_features(task_model, rows["source"], pad_id=pad_id, precision=precision)[known]
    if len(np.unique(labels[known])) < 2:
        raise DataError("the labelled source rows are all of one class: nothing can be fitted.")
    if name == "coral":
        if "target" not in rows:
            raise ConfigError("this method aligns the source with a target domain: set `target`.")
        target = read_features(task_model, rows["target"], pad_id=pad_id, precision=precision)
        features = coral(features, target)
    layer = output_layer(task_model)
    weights, biases = logistic_regression(features, labels[known], layer.out_features)
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


def logistic_regression(
    features: np.ndarray, labels: np.ndarray, num_labels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression on standardised features.

    Args:
        features: `[units, size]`.

    Returns:
        Weights `[classes, size]` and biases `[classes]` of a linear layer on the features as they
        are.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(0), features.std(0) + 1e-6
    model = LogisticRegression(C=0.1, max_iter=1000)
    model.fit((features - mean) / scale, labels)
    coefficients, intercepts = linear_map(model)
    weights = np.zeros((num_labels, features.shape[1]))
    biases = np.full(num_labels, -30.0)
    weights[model.classes_] = coefficients / scale
    biases[model.classes_] = intercepts - (coefficients / scale) @ mean
    return weights, biases


def coral(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Source features whitened, then given the target's covariance and mean.

    Sun, Feng & Saenko 2016, "Return of Frustratingly Easy Domain Adaptation", AAAI. A classifier
    that is fitted on them fits target features as they are.

    Args:
        source: `[units, size]`.
        target: `[units, size]`.
    """
    if len(target) < 2:
        raise ConfigError("this method aligns spreads: the target needs 2 texts or words at least.")
    moved = (source - source.mean(0)) @ _power(source, -0.5)
    return moved @ _power(target, 0.5) + target.mean(0)


def _power(features: np.ndarray, exponent: float) -> np.ndarray:
    """A power of the covariance `[size, size]`, shrunk towards a multiple of the identity."""
    covariance = np.cov(features, rowvar=False)
    level = np.trace(covariance) / len(covariance)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * max(level, 1e-12) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(shrunk)
    return (vectors * values.clip(1e-12) ** exponent) @ vectors.T
