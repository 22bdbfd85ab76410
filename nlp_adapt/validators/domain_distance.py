"""How far apart two domains lie for a linear classifier.

Ben-David et al. 2007, "Analysis of Representations for Domain Adaptation", NeurIPS: the proxy
A-distance, `2 * (1 - 2 * error)` of a classifier that tells the domains apart. It is 0 where the
classifier guesses and 2 where it is never wrong.
"""

from __future__ import annotations

import numpy as np

MOST_UNITS = 1000
FEWEST_UNITS = 20
STRENGTH = (
    0.01  # of the fit against the penalty: features are more than a few hundred units pin down
)


def proxy_a_distance(source: np.ndarray, target: np.ndarray, seed: int = 0) -> float | None:
    """The distance of two samples of features `[units, width]`, from 0 to 2.

    As many units of each domain, at most 1,000, are drawn. A linear classifier is fitted on half of
    them and tested on the other half, both ways round.

    Returns:
        None with fewer than 20 units in a domain.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    count = min(len(source), len(target), MOST_UNITS)
    if count < FEWEST_UNITS:
        return None
    rng = np.random.default_rng([seed, 21])
    drawn = [side[rng.permutation(len(side))[:count]] for side in (source, target)]
    features = np.concatenate(drawn).astype(np.float64)
    sides = np.repeat([0, 1], count)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=200))
    folds = StratifiedKFold(2, shuffle=True, random_state=int(rng.integers(2**31)))
    right = cross_val_score(classifier, features, sides, cv=folds, scoring="accuracy").mean()
    return float(np.clip(2 * (2 * right - 1), 0.0, 2.0))
