"""The contract of a validator, the scores that choose models, and the distance of two domains."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nlp_adapt.metrics.calibration import probabilities

MOST_UNITS = 1000
FEWEST_UNITS = 20
# Of the fit against the penalty: features are more than a few hundred units pin down.
STRENGTH = 0.01


@dataclass(frozen=True)
class Predictions:
    """What a model predicts for held-out source units and for target units.

    Logits are `[units, classes]`, labels `[units]` class indices, negative where unknown, and
    features `[units, width]` what the classifier reads. What is missing is None: the source without
    validation rows, features that no validator needs, and
    the shares `[classes]` of the target's classes unless the user knows them. `source_quality` is the
    task's own score of the source units, where units by themselves do not tell: span F1 of words.
    """

    source_logits: np.ndarray | None = None
    source_labels: np.ndarray | None = None
    target_logits: np.ndarray | None = None
    source_features: np.ndarray | None = None
    target_features: np.ndarray | None = None
    source_quality: float | None = None
    target_shares: np.ndarray | None = None

    def labelled_source(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels of the source units whose label is known."""
        assert self.source_logits is not None
        assert self.source_labels is not None
        known = self.source_labels >= 0
        return self.source_logits[known], self.source_labels[known]

    def expected_shares(self, classes: int) -> np.ndarray:
        """Shares `[classes]` that target predictions are held against.

        Those that the user knows of, else the source's, smoothed by a unit of each class; without
        labelled source units all the same.
        """
        counts: np.ndarray = np.ones(classes)
        if self.target_shares is not None:
            counts = np.asarray(self.target_shares, dtype=np.float64)
        elif self.source_labels is not None:
            known = self.source_labels[self.source_labels >= 0]
            counts = np.bincount(known, minlength=classes) + 1.0
        return counts / counts.sum()


class Validator(ABC):
    """A score of a model, higher for better ones.

    Attributes:
        reads_source: Whether it needs labelled source predictions.
        reads_target: Whether it needs target predictions.
        reads_features: Whether it needs the features of the sides that it reads.
    """

    reads_source: ClassVar[bool] = True
    reads_target: ClassVar[bool] = True
    reads_features: ClassVar[bool] = False

    def applies(self, predictions: Predictions) -> bool:
        """Whether the predictions hold what it reads."""
        p = predictions
        needed = [p.source_logits, p.source_labels] if self.reads_source else []
        needed += [p.target_logits] if self.reads_target else []
        if self.reads_features:
            needed += [p.source_features] if self.reads_source else []
            needed += [p.target_features] if self.reads_target else []
        return all(values is not None and len(values) > 0 for values in needed)

    @abstractmethod
    def score(self, predictions: Predictions) -> float:
        """The score, higher is better."""


class SourceRisk(Validator):
    """Quality on the source's validation rows.

    Of texts it is balanced accuracy, the mean recall over the classes there; of words it is span F1.
    """

    reads_target: ClassVar[bool] = False

    def score(self, predictions: Predictions) -> float:
        """The score, from 0 to 1."""
        if predictions.source_quality is not None:
            return predictions.source_quality
        logits, labels = predictions.labelled_source()
        hits = logits.argmax(-1) == labels
        return float(np.mean([hits[labels == label].mean() for label in np.unique(labels)]))


class InformationMaximisation(Validator):
    """How certain target predictions are, and how close their shares are to those to be expected.

    One minus the mean entropy, minus the divergence KL(expected || mean prediction), both as shares of
    log(classes) and the latter at most 1: 1 for certain predictions in the expected shares, near 0 for
    a model that always says the same or never commits itself. With even shares it is nearly the mutual information of Krause et
    al. 2010, "Discriminative Clustering by Regularized Information Maximization", NeurIPS, by which
    Musgrave et al. 2022, arXiv:2208.07360, choose adapted models; but that prefers a model that is
    wrong to one that is right wherever the classes are uneven. Shares are expected to be the
    source's, unless the user knows the target's.
    """

    reads_source: ClassVar[bool] = False

    def score(self, predictions: Predictions) -> float:
        """The score, from -1 to 1."""
        assert predictions.target_logits is not None
        target = probabilities(predictions.target_logits)
        expected = predictions.expected_shares(target.shape[1])
        predicted = np.clip(target.mean(0), 1e-12, None)
        divergence = (expected * np.log(np.clip(expected, 1e-12, None) / predicted)).sum()
        doubt, distance = np.array([entropy(target).mean(), divergence]) / np.log(target.shape[1])
        return float(1.0 - doubt - min(distance, 1.0))


class LabelFree(Validator):
    """Mean of source validation quality and target information maximisation.

    It chooses the model unless the recipe names another score. Either part alone is fooled: the
    first by a model that forgot the target, the second by one that is certain and wrong.
    """

    def score(self, predictions: Predictions) -> float:
        """The score, from -0.5 to 1."""
        return 0.5 * (
            SourceRisk().score(predictions) + InformationMaximisation().score(predictions)
        )


class EstimatedAccuracy(Validator):
    """Share of target units whose confidence is above the threshold that fits the source.

    Average thresholded confidence (Garg et al. 2022, "Leveraging Unlabeled Data to Predict
    Out-of-Distribution Performance", ICLR, arXiv:2201.04234): the model is less confident than the
    threshold as often as it errs on held-out source units. Confidence is negative entropy. The
    estimate is too high where the model is certain and wrong on the target.
    """

    def score(self, predictions: Predictions) -> float:
        """The estimate, from 0 to 1."""
        assert predictions.target_logits is not None
        logits, labels = predictions.labelled_source()
        errors = int((logits.argmax(-1) != labels).sum())
        if errors == len(logits):
            return 0.0
        threshold = np.sort(confidence(logits))[errors]
        return float((confidence(predictions.target_logits) >= threshold).mean())


def estimated_shares(predictions: Predictions) -> dict[str, np.ndarray]:
    """Shares `[classes]` of the target's classes as two estimators that read no label of it see them.

    `em` (Saerens et al. 2002, Neural Computation 14(1)) and `bbse` (Lipton et al. 2018, ICML) take
    the classes' texts to be the same in both domains. They rarely are, and either is as likely to be
    wrong as right: to be shown, never to act on.
    """
    assert predictions.target_logits is not None
    logits, labels = predictions.labelled_source()
    source, target = probabilities(logits), probabilities(predictions.target_logits)
    truth = np.eye(source.shape[1])[labels]
    prior = np.clip(truth.mean(0), 1e-6, None)
    em = prior
    for _ in range(100):
        weighted = target * (em / prior)
        em = (weighted / weighted.sum(1, keepdims=True)).mean(0)
    joint = source.T @ truth / len(truth)  # predicted as the row's class, labelled the column's
    weights = np.linalg.lstsq(joint, target.mean(0), rcond=None)[0].clip(0)
    return {"em": em, "bbse": weights * prior / max(weights @ prior, 1e-12)}


def proxy_a_distance(source: np.ndarray, target: np.ndarray, seed: int = 0) -> float | None:
    """The distance of two samples of features `[units, width]` for a linear classifier.

    The proxy A-distance `2 * (1 - 2 * error)` of a classifier that tells the domains apart
    (Ben-David et al. 2007, "Analysis of Representations for Domain Adaptation", NeurIPS): 0 where
    it guesses, 2 where it is never wrong. As many units of each domain, at most 1,000, are drawn;
    the classifier is fitted on half of them and tested on the other half, both ways round.

    Returns:
        None with fewer than 20 units in a domain.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    count = min(len(source), len(target), MOST_UNITS)
    if count < FEWEST_UNITS:
        return None
    rng = np.random.default_rng([seed, 21])
    drawn = [side[rng.permutation(len(side))[:count]] for side in (source, target)]
    features = np.concatenate(drawn).astype(np.float64)
    sides = np.repeat([0, 1], count)
    folds = StratifiedKFold(2, shuffle=True, random_state=int(rng.integers(2**31)))
    right = cross_val_score(linear_probe(), features, sides, cv=folds, scoring="accuracy").mean()
    return float(np.clip(2 * (2 * right - 1), 0.0, 2.0))


def linear_probe(strength: float = STRENGTH, **options: Any) -> Any:
    """A logistic regression on standardised features, yet to be fitted."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=strength, **{"max_iter": 200, **options})
    return make_pipeline(StandardScaler(), model)


def linear_map(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weights `[classes, size]` and biases `[classes]` of a fitted logistic regression."""
    weights, biases = model.coef_, model.intercept_
    if len(model.classes_) > 2:
        return weights, biases
    # Of two classes scikit-learn keeps the difference alone.
    return np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2


def entropy(distribution: np.ndarray) -> np.ndarray:
    """Entropy in nats over the last axis."""
    return -(distribution * np.log(np.clip(distribution, 1e-12, None))).sum(-1)


def confidence(logits: np.ndarray) -> np.ndarray:
    """Negative entropy `[units]` in nats of what the logits say."""
    return -entropy(probabilities(logits))
