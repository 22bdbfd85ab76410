"""Has the adapted model gone astray? An answer without target labels.

Four signs are weighed, none of which reads a label of the target:

- *source*: balanced accuracy on held-out texts of the source, or span F1 on its sentences. An adapted
  model that no longer solves the source has gone astray.
- *classes*: how often each class is predicted on the target. A class that all but vanishes, or
  overruns the others, as neither the twin's predictions nor the source's labels would have it, is
  how alignment usually fails.
- *information*: how certain target predictions are, and how near to the shares to be expected.
- *estimate*: estimated target accuracy (Garg et al. 2022), with a paired bootstrap's interval of the
  difference.

They can show harm, and no gain: a model that says the same of everything is certain of it, and so is
one that has learnt its own answers. Where the estimate used to speak for the adapted model it was right
about as often as not (docs/how-to/without-target-labels.md). So without a sign of harm it cannot be told
which model is better, and the export is the one with the better worst case. Of
a model that a teacher alone has taught, the classes tell and nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from nlp_adapt.metrics.classification import Z95, share_variance
from nlp_adapt.validators.scores import Predictions

SOURCE_ONLY, UNDECIDED = "source-only", "undecided"
LOST_SOURCE = 0.05
LOST_INFORMATION = 0.2  # as a share: its scale depends on the classes
LOST_INFORMATION_AT_LEAST = 0.01
CLASS_FACTOR = 5.0
LOPSIDED_FACTOR = 10.0
CLASS_SHARE = 0.01
FEWEST_MISTAKES = 5
TAUGHT = "A teacher's answers taught it: its skill on the source and its certainty are no signs."


@dataclass(frozen=True)
class Evidence:
    """What the guard weighs of one model.

    Attributes:
        scores: `source_risk`, `information_maximisation` and `estimated_accuracy`.
        predicted: Share of each class among the predictions on target units.
        source_classes: Share of each class among the labels of the source units.
        source_rows: Source rows that were read; units of one row depend on each other.
        target_units: Units in the target rows; 0 where an earlier version did not count them.
        source_recall: Share of each class's source units that are predicted right.
        source_variance: Sampling variance of span F1 on the source's rows; None for texts.
        estimate_draws: `estimated_accuracy` of bootstrap samples of the rows, the same for both models;
            none where an earlier version drew none, and then the estimate does not count.
    """

    scores: Mapping[str, float]
    predicted: Mapping[str, float]
    source_classes: Mapping[str, float]
    source_accuracy: float
    source_rows: int
    target_rows: int
    target_units: int = 0
    source_recall: Mapping[str, float] = field(default_factory=dict)
    source_units: Mapping[str, int] = field(default_factory=dict)
    source_variance: float | None = None
    estimate_draws: Sequence[float] = ()


@dataclass(frozen=True)
class Verdict:
    """`source-only` or `undecided`, and the signs that say so, with numbers.

    Earlier versions also said `adapted`.
    """

    verdict: str
    reasons: list[str]

    def prefers_twin(self, *, knows_more: bool) -> bool:
        """Whether the twin has the better worst case.

        Args:
            knows_more: Whether the adapted model has learnt from what the twin had not: labels of
                the target, or another model's answers.
        """
        return self.verdict == SOURCE_ONLY or (self.verdict == UNDECIDED and not knows_more)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def describe(
    predictions: Predictions,
    label_names: Sequence[str],
    source_counts: np.ndarray | None = None,
    target_counts: np.ndarray | None = None,
) -> dict[str, Any]:
    """What `Evidence` holds of a model's predictions beside its scores.

    Args:
        source_counts: `[rows]` units of each row of the source; one each by default.
        target_counts: Likewise of the target.
    """
    from nlp_adapt.validators.estimate import estimate_draws

    assert predictions.source_logits is not None
    assert predictions.target_logits is not None
    logits, labels = predictions.labelled_source()
    right = logits.argmax(-1) == labels
    units = np.bincount(labels, minlength=len(label_names))
    hits = np.bincount(labels[right], minlength=len(label_names))
    draws = estimate_draws(predictions, source_counts, target_counts) if len(labels) else np.ones(0)
    return {
        "predicted": _shares(predictions.target_logits.argmax(-1), label_names),
        "source_classes": _shares(labels, label_names),
        "source_accuracy": round(float(right.mean()), 6) if len(labels) else 0.0,
        "source_recall": {
            name: round(float(hit / max(count, 1)), 6)
            for name, hit, count in zip(label_names, hits, units, strict=True)
        },
        "source_units": dict(zip(label_names, units.tolist(), strict=True)),
        "target_units": len(predictions.target_logits),
        "source_rows": len(predictions.source_logits if source_counts is None else source_counts),
        "target_rows": len(predictions.target_logits if target_counts is None else target_counts),
        "estimate_draws": draws.round(4).tolist(),
    }


def judge_run(results: Mapping[str, Any], *, taught: bool = False) -> Verdict | None:
    """The guard's verdict on the two models of a run; None where one or its evidence is missing."""
    sides = [results.get(name) or {} for name in ("source_only", "adapted")]
    if not all(side.get("evidence") for side in sides):
        return None
    return judge(*(_evidence(side) for side in sides), taught=taught)


def _evidence(scores: Mapping[str, Any]) -> Evidence:
    own = {key: value for key, value in scores["evidence"].items() if key != "domain_distance"}
    return Evidence(scores=scores["label_free"], **own)


def judge(before: Evidence, after: Evidence, *, taught: bool = False) -> Verdict:
    """Weigh the source-only twin against the adapted model.

    The verdict is `source-only` where the source or the classes speak against the adapted model, or
    both other signs do, and `undecided` otherwise. Where a teacher alone has `taught` it, classes do.
    """
    strong = [*([] if taught else _source(before, after)), *_classes(before, after)]
    weak = [] if taught else _information(before, after)
    difference, noise = estimated_gain(before, after)
    estimate = (
        f"Estimated accuracy on the target goes from {_percent(before, 'estimated_accuracy')} to "
        f"{_percent(after, 'estimated_accuracy')} % (95 % interval of the difference "
        f"{'unknown' if math.isinf(noise) else f'+/- {100 * noise:.1f} points'}), if the target "
        "differs from the source only in ways that the models' mistakes on the source show."
    )
    doubts = [*([TAUGHT] if taught else []), *_lopsided(before), *_few_mistakes(before, after)]
    if difference > noise:
        estimate += " A higher one proves nothing: models grow surer without growing better."
    reasons = [*strong, *weak, estimate, *doubts]
    harmful = strong or (weak and difference < -noise and not doubts)
    return Verdict(SOURCE_ONLY if harmful else UNDECIDED, reasons)


def _source(before: Evidence, after: Evidence) -> list[str]:
    one, two = before.scores["source_risk"], after.scores["source_risk"]
    noise = Z95 * math.sqrt(sum(map(_source_variance, (before, after))))
    if one - two <= max(LOST_SOURCE, noise):
        return []
    measure = "balanced accuracy" if after.source_variance is None else "span F1"
    return [
        f"On held-out source rows {measure} falls from {_percent(before, 'source_risk')} to "
        f"{_percent(after, 'source_risk')} %."
    ]


def _classes(before: Evidence, after: Evidence) -> list[str]:
    found = []
    # Each share has the noise of the domain that it was counted in.
    units = (
        after.target_units or after.target_rows,
        sum(after.source_units.values()) or after.source_rows,
    )
    for name, share in after.predicted.items():
        usual = (before.predicted[name], after.source_classes.get(name, 0.0))
        vanished = min(usual) >= CLASS_SHARE and share < min(usual) / CLASS_FACTOR
        overruns = share >= CLASS_SHARE and share > max(usual) * CLASS_FACTOR
        nearest, count = (min if vanished else max)(zip(usual, units, strict=True))
        noise = Z95 * math.sqrt(share_variance(share, units[0]) + share_variance(nearest, count))
        if (vanished or overruns) and abs(share - nearest) > noise:
            found.append(
                f"{name} is predicted for {100 * share:.1f} % of the target, where the source-only "
                f"model predicts it for {100 * usual[0]:.1f} % and {100 * usual[1]:.1f} % of the "
                "held-out source rows are labelled so."
            )
    return found


def _lopsided(before: Evidence) -> list[str]:
    """Why the estimates are worth nothing, where the twin itself hardly knows a class any more."""
    return [
        f"The source-only model itself predicts {name} for {100 * share:.1f} % of the target, where "
        f"{100 * before.source_classes[name]:.1f} % of the held-out source rows are labelled so: the "
        "estimates of such models are far too high and do not count."
        for name, share in before.predicted.items()
        if before.source_classes[name] >= CLASS_SHARE
        and share < before.source_classes[name] / LOPSIDED_FACTOR
    ]


def _information(before: Evidence, after: Evidence) -> list[str]:
    one = before.scores["information_maximisation"]
    two = after.scores["information_maximisation"]
    if two >= (1 - LOST_INFORMATION) * one or one - two < LOST_INFORMATION_AT_LEAST:
        return []
    return [
        "Predictions on the target become less certain, or classes leave their shares: information "
        f"maximisation falls from {one:.3f} to {two:.3f}."
    ]


def estimated_gain(before: Evidence, after: Evidence) -> tuple[float, float]:
    """The difference of estimated accuracies, and half its 95 % interval, by a paired bootstrap."""
    one, two = before.scores["estimated_accuracy"], after.scores["estimated_accuracy"]
    if not len(before.estimate_draws) or len(before.estimate_draws) != len(after.estimate_draws):
        return two - one, math.inf
    draws = np.subtract(after.estimate_draws, before.estimate_draws)
    # The wider of the normal and the percentile interval: with a few mistakes either can be short.
    ends = np.abs(np.quantile(draws, [0.025, 0.975]) - (two - one))
    return two - one, float(max(Z95 * draws.std(), ends.max()))


def _few_mistakes(*models: Evidence) -> list[str]:
    """Why the estimate does not count, where a threshold rests on hardly any mistake."""
    found = []
    for name, evidence in zip(("source-only", "adapted"), models, strict=True):
        units = sum(evidence.source_units.values()) or evidence.source_rows
        mistakes = round((1 - evidence.source_accuracy) * units)
        if mistakes < FEWEST_MISTAKES:
            found.append(
                f"The {name} model makes {mistakes} mistakes on the held-out source rows, too few to "
                "estimate anything from: the estimate does not count."
            )
    return found


def _source_variance(evidence: Evidence) -> float:
    """Sampling variance of `source_risk`; balanced accuracy is the mean of the classes' recalls."""
    if evidence.source_variance is not None:
        return max(evidence.source_variance, share_variance(1.0, evidence.source_rows))
    known = [name for name, count in evidence.source_units.items() if count]
    if not known:
        return share_variance(evidence.scores["source_risk"], evidence.source_rows)
    # Units of one row depend on each other: a class counts as often as there are rows at most.
    counts = {name: min(evidence.source_units[name], evidence.source_rows) for name in known}
    recalls = evidence.source_recall
    return sum(share_variance(recalls[name], counts[name]) for name in known) / len(known) ** 2


def _percent(evidence: Evidence, score: str) -> str:
    return f"{100 * evidence.scores[score]:.1f}"


def _shares(classes: np.ndarray, label_names: Sequence[str]) -> dict[str, float]:
    counts = np.bincount(classes, minlength=len(label_names)) / max(len(classes), 1)
    return {name: round(float(share), 6) for name, share in zip(label_names, counts, strict=True)}
