"""Scores of one model that are measured beside the default ones: of logits, features, source labels.

`benchmark_validators.py` says how each ranks models; none does well enough to be in the package.
"""

from typing import ClassVar

import numpy as np

from nlp_adapt.validators.scores import Predictions, Validator, linear_probe, probabilities

_LARGEST_WEIGHT = 10.0


class NuclearNorm(Validator):
    """Nuclear norm of the target's predictions as a share of the largest there can be.

    High where predictions are certain and diverse (Cui et al. 2020, "Towards Discriminability and
    Diversity: Batch Nuclear-norm Maximization", CVPR). It prefers even classes.
    """

    reads_source: ClassVar[bool] = False

    def score(self, predictions: Predictions) -> float:
        """The score, from 0 to 1."""
        assert predictions.target_logits is not None
        target = probabilities(predictions.target_logits)
        most = np.sqrt(len(target) * min(target.shape))
        return float(np.linalg.svd(target, compute_uv=False).sum() / most)


class ClassAmi(Validator):
    """Agreement of the target's predicted classes with k-means clusters of its features.

    Adjusted mutual information, 0 for chance (ClassAMI of Musgrave et al. 2022, "Three New Validators
    and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation", arXiv:2208.07360).
    """

    reads_source: ClassVar[bool] = False
    reads_features: ClassVar[bool] = True

    def score(self, predictions: Predictions) -> float:
        """The score, at most 1."""
        from sklearn.cluster import KMeans
        from sklearn.metrics import adjusted_mutual_info_score

        assert predictions.target_logits is not None
        assert predictions.target_features is not None
        classes = predictions.target_logits.shape[1]
        features = np.asarray(predictions.target_features, dtype=np.float64)
        clusters = KMeans(classes, n_init=4, random_state=0).fit_predict(features)
        return float(adjusted_mutual_info_score(predictions.target_logits.argmax(-1), clusters))


class ImportanceWeightedAccuracy(Validator):
    """Accuracy on source units, each weighted by how much it looks like one of the target.

    The density ratio comes from a linear classifier that tells the domains apart by their features;
    weights have the mean 1 and are cut at 10 (Sugiyama et al. 2007, JMLR 8; You et al. 2019, "Towards
    Accurate Model Selection in Deep Unsupervised Domain Adaptation", ICML).
    """

    reads_features: ClassVar[bool] = True

    def score(self, predictions: Predictions) -> float:
        """The score, from 0 to 1."""
        logits, labels = predictions.labelled_source()
        weights = self.weights(predictions)
        return float(np.average(logits.argmax(-1) == labels, weights=weights))

    def weights(self, predictions: Predictions) -> np.ndarray:
        """Density ratio target/source `[units]` of the source units whose label is known."""
        source, target = _features(predictions)
        sides = np.repeat([0, 1], [len(source), len(target)])
        probe = linear_probe().fit(np.concatenate([source, target]), sides)
        odds = np.exp(probe.decision_function(source)) * len(source) / len(target)
        return np.clip(odds / odds.mean(), 0.0, _LARGEST_WEIGHT)


class ReverseValidation(Validator):
    """Balanced accuracy on the source of a linear classifier that has learnt the target's predictions.

    What is predicted in the target must lead back to the source's labels (Zhong et al. 2010, "Cross
    Validation Framework to Choose amongst Models and Datasets for Transfer Learning", ECML; Ganin et
    al. 2016, JMLR 17). Here on the features that the model's own classifier reads, for which nothing
    is trained anew.
    """

    reads_features: ClassVar[bool] = True

    def score(self, predictions: Predictions) -> float:
        """The score, from 0 to 1; 0 where one class alone is predicted."""
        from sklearn.metrics import balanced_accuracy_score

        assert predictions.target_logits is not None
        source, target = _features(predictions)
        _, labels = predictions.labelled_source()
        pseudo = predictions.target_logits.argmax(-1)
        if len(np.unique(pseudo)) < 2:
            return 0.0
        return float(
            balanced_accuracy_score(labels, linear_probe().fit(target, pseudo).predict(source))
        )


class CalibratedConfidence(Validator):
    """Mean confidence on the target after calibration on held-out source units.

    Temperature and class biases are those of the highest likelihood there (Guo et al. 2017, "On
    Calibration of Modern Neural Networks", ICML, with biases). As an estimate of accuracy it is too
    high where the model is certain and wrong on the target.
    """

    def score(self, predictions: Predictions) -> float:
        """The estimate, from 0 to 1."""
        assert predictions.target_logits is not None
        scale, bias = self.fit(predictions)
        calibrated = probabilities(predictions.target_logits * scale + bias)
        return float(calibrated.max(-1).mean())

    def fit(self, predictions: Predictions) -> tuple[float, np.ndarray]:
        """The inverse temperature, and the biases `[classes]`, the first of which is 0."""
        from scipy.optimize import minimize

        logits, labels = predictions.labelled_source()
        logits = logits.astype(np.float64)
        hits = np.eye(logits.shape[1])[labels]

        def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
            scale, bias = np.exp(values[0]), np.concatenate([[0.0], values[1:]])
            shares = probabilities(logits * scale + bias)
            # A slight pull to the model as it is keeps a perfect one from endless certainty.
            likely = np.log(np.clip((shares * hits).sum(-1), 1e-12, None)).mean()
            off = (shares - hits) / len(logits)
            slope = np.concatenate([[(off * logits).sum() * scale], off.sum(0)[1:]])
            return float(0.5e-3 * (values**2).sum() - likely), slope + 1e-3 * values

        found = minimize(loss, np.zeros(logits.shape[1]), jac=True, method="L-BFGS-B").x
        return float(np.exp(found[0])), np.concatenate([[0.0], found[1:]])


STUDIED: dict[str, Validator] = {
    "nuclear_norm": NuclearNorm(),
    "class_ami": ClassAmi(),
    "importance_weighted_accuracy": ImportanceWeightedAccuracy(),
    "reverse_validation": ReverseValidation(),
    "calibrated_confidence": CalibratedConfidence(),
}


def _features(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Of the source units whose label is known, and of the target's."""
    assert predictions.source_labels is not None
    assert predictions.source_features is not None
    assert predictions.target_features is not None
    source = predictions.source_features[predictions.source_labels >= 0]
    return source.astype(np.float64), predictions.target_features.astype(np.float64)
