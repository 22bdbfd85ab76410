"""Scores of several models of the same rows, held against each other: higher is better."""

from collections.abc import Mapping

import numpy as np

from nlp_adapt.comparing.agreement import shares_agreed
from nlp_adapt.metrics.class_shares import predicted_shares
from nlp_adapt.metrics.span_counts import TagSet, count_spans, f1_with_variance
from nlp_adapt.validators.scores import Predictions, probabilities

Candidates = Mapping[str, Predictions]


def ensemble_agreement(candidates: Candidates) -> dict[str, float]:
    """Share of target units on which each model says what the mean of all does.

    EnsV (Hu et al. 2024, "Towards Reliable Model Selection for Unsupervised Domain Adaptation",
    NeurIPS): the ensemble is at least as good as the average model, and stands for the labels.
    """
    predicted = {name: probabilities(_target(one)) for name, one in candidates.items()}
    ensemble = np.mean([*predicted.values()], axis=0).argmax(-1)
    return {name: float((one.argmax(-1) == ensemble).mean()) for name, one in predicted.items()}


def agreement(candidates: Candidates) -> dict[str, float]:
    """Mean share of target units on which a model says what another one says: as `compare` ranks."""
    return shares_agreed({name: _target(one).argmax(-1) for name, one in candidates.items()})


def accuracy_on_the_line(candidates: Candidates) -> dict[str, float]:
    """Each model's accuracy on the target, read off the line on which pairs of models agree.

    On the probit scale, how often two models agree in the source and in the target lies on a line, and
    accuracies on the same one (Baek et al. 2022, "Agreement-on-the-Line", NeurIPS). It needs models
    with freshly drawn heads; other orders of the data are not enough (Saxena et al. 2024, "Predicting
    the Performance of Foundation Models via Agreement-on-the-Line", NeurIPS). Two models give a shift
    alone, three or more a slope as well.
    """
    from scipy.stats import norm

    names = list(candidates)
    sides = [
        {name: one.labelled_source()[0].argmax(-1) for name, one in candidates.items()},
        {name: _target(one).argmax(-1) for name, one in candidates.items()},
    ]
    pairs = [(one, two) for place, one in enumerate(names) for two in names[place + 1 :]]
    if not pairs:
        raise ValueError("agreement needs two models at least")
    source, target = (
        np.array([_probit(said[one] == said[two]) for one, two in pairs]) for said in sides
    )
    slope = 1.0
    if len(pairs) > 2 and source.std() > 0.02:
        slope = float(np.polyfit(source, target, 1)[0])
    shift = target.mean() - slope * source.mean()
    found = {}
    for name, one in candidates.items():
        accuracy = _probit(sides[0][name] == one.labelled_source()[1])
        found[name] = float(norm.cdf(slope * accuracy + shift))
    return found


def share_agreement(candidates: Candidates, reference: str) -> dict[str, float]:
    """One minus how far each model's predicted class shares are from the reference's.

    The distance is the total variation, from 0 to 1; the reference is the source-only model, or the
    mean of several. A class that leaves its share is how alignment usually fails.
    """
    shares = {name: predicted_shares(_target(one)) for name, one in candidates.items()}
    return {
        name: float(1 - 0.5 * np.abs(one - shares[reference]).sum()) for name, one in shares.items()
    }


def entity_agreement(
    candidates: Candidates, reference: str, label_names: tuple[str, ...], offsets: np.ndarray
) -> dict[str, dict[str, float]]:
    """How far each tagger's target entities are those of the reference, by what is held together.

    `span_agreement` is span F1; `span_precision` the share of a tagger's entities that the reference
    has, `span_recall` that of the reference's that it has, `type_shares` one minus the total variation
    between the types of both.

    Args:
        offsets: `[sentences + 1]` where each target sentence's words begin.
    """
    tags, truth = TagSet.of(label_names), _target(candidates[reference]).argmax(-1)
    of_type = _types(truth, offsets, tags)
    found: dict[str, dict[str, float]] = {}
    for name, one in candidates.items():
        said = _target(one).argmax(-1)
        counts = count_spans(truth, said, offsets, tags)
        both, true, guessed = counts.sum(0)
        scores = {
            "span_agreement": f1_with_variance(counts)[0],
            "span_precision": both / max(guessed, 1),
            "span_recall": both / max(true, 1),
            "type_shares": 1 - 0.5 * np.abs(_types(said, offsets, tags) - of_type).sum(),
        }
        for score, value in scores.items():
            found.setdefault(score, {})[name] = float(value)
    return found


def _types(words: np.ndarray, offsets: np.ndarray, tags: TagSet) -> np.ndarray:
    """Share of each entity type among the spans of tags `[words]`."""
    counts = []
    for kind in range(tags.types.max() + 1):
        own = TagSet(np.where(tags.types == kind, kind, -1), tags.inside & (tags.types == kind))
        counts.append(count_spans(words, words, offsets, own)[:, 1].sum())
    return np.array(counts) / max(sum(counts), 1)


def _target(predictions: Predictions) -> np.ndarray:
    assert predictions.target_logits is not None
    return predictions.target_logits


def _probit(hits: np.ndarray) -> float:
    """Of the share of hits, with a half of one added on either side, which keeps it finite."""
    from scipy.stats import norm

    return float(norm.ppf((hits.sum() + 0.5) / (len(hits) + 1)))
