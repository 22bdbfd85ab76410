"""How certain and how diverse the target predictions are.

Krause et al. 2010, "Discriminative Clustering by Regularized Information Maximization", NeurIPS;
used to choose adapted models by Musgrave et al. 2022, "Three New Validators and a Large-Scale
Benchmark Ranking for Unsupervised Domain Adaptation", arXiv:2208.07360.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nlp_adapt.validators.base import Predictions, Validator, entropy, probabilities


class InformationMaximisation(Validator):
    """Entropy of the mean target prediction minus the mean entropy, as a share of log(classes).

    0 for a model that always says the same or never commits itself, 1 for certain predictions
    spread evenly over the classes.
    """

    reads_source: ClassVar[bool] = False

    def score(self, predictions: Predictions) -> float:
        """The score, from 0 to 1."""
        assert predictions.target_logits is not None
        target = probabilities(predictions.target_logits)
        information = entropy(target.mean(0)) - entropy(target).mean()
        return float(information / np.log(target.shape[1]))
