"""Self-training on the target with an averaged teacher and class-balanced confidence.

The teacher follows Tarvainen & Valpola 2017 (NeurIPS); confidence is judged against its own running
statistics for each class, as in FlexMatch (Zhang et al. 2021, NeurIPS) and SoftMatch (Chen et al.
2023, ICLR); prior alignment follows ReMixMatch (Berthelot et al. 2020, ICLR).
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Setup
from nlp_adapt.objectives.statistics import sum_over_processes
from nlp_adapt.objectives.teacher import TeacherConfig, TeacherObjective
from nlp_adapt.options import POSITIVE, Bounds, option

MOMENTUM = 0.99
PSEUDO_COUNT = 8.0
LEAST_VARIANCE = 1e-4
FREQUENCY_FLOOR = 0.1


@dataclass(kw_only=True)
class SelfTrainingConfig(TeacherConfig):
    """Options of self-training."""

    labels: str = option("soft", "the teacher's probabilities, or its best class", ("soft", "hard"))
    temperature: float = option(
        0.5, "below 1 sharpens soft labels", bounds=POSITIVE, where=("labels", ["soft"])
    )
    weighting: str = option(
        "soft",
        "how confidence counts: less and less below the class's running mean (SoftMatch), not at "
        "all below it, not at all below the option confidence; none: every label counts the same",
        ("soft", "adaptive", "fixed", "none"),
    )
    confidence: float = option(
        0.9, "threshold of the weighting fixed", where=("weighting", ["fixed"])
    )
    strictness: float = option(
        1.0,
        "standard deviations above the class's mean asked at the start, falling to 0",
        where=("weighting", ["soft", "adaptive"]),
    )
    balance: float | None = option(
        None,
        "0 to 1: how far rare classes make up for their rarity; default: 0.5 for texts, 0 for words",
        bounds=Bounds(at_least=0, at_most=1),
    )
    align_prior: str | None = option(
        None,
        "class frequencies that the teacher's labels are rescaled to: the source's, uniform ones, or "
        "between the two (the square root of the source's); default: target_class_shares if told",
        ("none", "source", "uniform", "between"),
    )


class SelfTraining(TeacherObjective):
    """Cross-entropy of the student against the teacher's labels of the target units.

    A unit counts by the teacher's confidence relative to the running statistics of the predicted
    class, so that hard classes stay in, and for texts by the inverse frequency of that class, so
    that frequent classes cannot swallow the others. Neither changes the best soft prediction for a
    text.
    """

    config_class = SelfTrainingConfig
    summary = "an averaged teacher labels the target, class-balanced"
    paper = "Zhang et al. 2021, NeurIPS; Chen et al. 2023, ICLR"
    name = "self_training"
    prior: Tensor | None

    def __init__(self, config: SelfTrainingConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        # Most words lie outside entities: a mistaken entity would count many times.
        texts_or_words = 0.0 if setup.token_level else 0.5
        self.balance = texts_or_words if config.balance is None else config.balance
        self.statistics = ConfidenceStatistics(setup.num_labels)
        self.register_buffer("prior", expected_frequencies(config.align_prior, setup))

    def compare(self, teacher_logits: Tensor, student: DomainOutput, progress: Progress) -> Terms:
        """`self_training`; measurements: mean `/confidence`, `/weight` and student `/agreement`."""
        raw = teacher_logits.softmax(-1)
        # Frequencies are those before alignment, confidence is that after it.
        frequencies = self.statistics.observe_frequencies(raw, self.training)
        aligned = raw if self.prior is None else align(raw, self.prior, frequencies)
        confidence, classes = aligned.max(-1)
        means, deviations = self.statistics.observe_confidence(confidence, classes, self.training)
        shown = frequencies if self.prior is None else self.prior
        weights = self.confidence_weights(confidence, classes, means, deviations, progress)
        weights = weights * balancing_factors(shown, self.balance)[classes]

        log_student = student.logits.float().log_softmax(-1)
        targets = pseudo_labels(aligned, self.config.labels, self.config.temperature)
        losses = -(targets * log_student).sum(-1)
        loss = replace(student, weights=None).mean(weights * losses)
        agreement = (log_student.detach().argmax(-1) == classes).float()
        return {
            "self_training": self.ramp(progress) * loss,
            "self_training/confidence": confidence.mean(),
            "self_training/weight": weights.mean(),
            "self_training/agreement": agreement.mean(),
        }

    def confidence_weights(
        self, confidence: Tensor, classes: Tensor, means: Tensor, deviations: Tensor,
        progress: Progress,
    ) -> Tensor:  # fmt: skip
        """Weight of each unit, 0 to 1, from the teacher's confidence `[units]` in `classes` `[units]`.

        Over the stage, the confidence asked for falls from mean + strictness deviations of the class
        to its mean; both are `[classes]`.
        """
        if self.config.weighting == "none":
            return torch.ones_like(confidence)
        if self.config.weighting == "fixed":
            return (confidence >= self.config.confidence).float()
        asked = means + self.config.strictness * (1.0 - progress.fraction) * deviations
        missing = (asked[classes] - confidence).clamp_min(0.0)
        if self.config.weighting == "adaptive":
            # Never above what a probability can reach, so that a sure class stays in.
            return (confidence >= asked.clamp_max(1.0 - 1e-3)[classes]).float()
        return torch.exp(-0.5 * (missing / deviations[classes]) ** 2)


class ConfidenceStatistics(nn.Module):
    """Decaying sums over the target units of all processes; buffers, so they are saved."""

    frequencies: Tensor
    moments: Tensor

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.zeros(num_labels))
        # Rows: units predicted as the class, their confidences, the squares of these.
        self.register_buffer("moments", torch.zeros(3, num_labels))

    @torch.no_grad()
    def observe_frequencies(self, probabilities: Tensor, update: bool) -> Tensor:
        """Running class frequencies `[classes]` after a batch's probabilities `[units, classes]`."""
        if update:
            _add_decaying(self.frequencies, probabilities.sum(0))
        total = self.frequencies.sum()
        uniform = torch.full_like(self.frequencies, 1.0 / len(self.frequencies))
        return torch.where(total > 0, self.frequencies / total.clamp_min(1e-12), uniform)

    @torch.no_grad()
    def observe_confidence(
        self, confidence: Tensor, classes: Tensor, update: bool
    ) -> tuple[Tensor, Tensor]:
        """Running mean and standard deviation of the confidence `[classes]` in each class.

        A class with few units leans on the statistics of all.
        """
        if update:
            chosen = F.one_hot(classes, self.moments.shape[1]).float()
            powers = torch.stack([torch.ones_like(confidence), confidence, confidence.square()])
            _add_decaying(self.moments, powers @ chosen)
        counts, sums, squares = self.moments
        total = counts.sum().clamp_min(1e-12)
        mean = (sums + PSEUDO_COUNT * sums.sum() / total) / (counts + PSEUDO_COUNT)
        square = (squares + PSEUDO_COUNT * squares.sum() / total) / (counts + PSEUDO_COUNT)
        return mean, (square - mean.square()).clamp_min(LEAST_VARIANCE).sqrt()


def pseudo_labels(probabilities: Tensor, kind: str, temperature: float) -> Tensor:
    """Label distributions `[units, classes]`: one-hot for `hard`, else `probabilities ** (1 / T)`."""
    if kind == "hard":
        return F.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).float()
    return (probabilities.clamp_min(1e-12).log() / temperature).softmax(-1)


def expected_frequencies(kind: str | None, setup: Setup) -> Tensor | None:
    """`[classes]` frequencies that a target of unknown labels is taken to have, or None.

    Raises:
        ConfigError: If the source's are asked for, and the source has no labelled rows.
    """
    if kind is None:
        return setup.target_shares
    if kind == "none":
        return None
    counts = torch.ones(setup.num_labels) if kind == "uniform" else setup.label_counts.float()
    if len(counts) != setup.num_labels or float(counts.sum()) <= 0:
        raise ConfigError(f"self_training.align_prior '{kind}' needs labelled source rows.")
    power = {"uniform": 0.0, "between": 0.5, "source": 1.0}[kind]
    frequencies = (counts / counts.sum()) ** power
    return frequencies / frequencies.sum()


def align(probabilities: Tensor, prior: Tensor, frequencies: Tensor) -> Tensor:
    """Probabilities `[units, classes]` rescaled by `prior / frequencies` and normalised."""
    scaled = probabilities * (prior / frequencies.clamp_min(1e-6))
    return scaled / scaled.sum(-1, keepdim=True).clamp_min(1e-12)


def balancing_factors(frequencies: Tensor, balance: float) -> Tensor:
    """`[classes]` weights: frequency to the power `-balance`, with mean 1 over units.

    Frequencies count as at least a tenth of an equal share, which bounds the weights.
    """
    floored = frequencies.clamp_min(FREQUENCY_FLOOR / len(frequencies))
    factors = floored**-balance
    return factors / (frequencies * factors).sum()


def _add_decaying(kept: Tensor, found: Tensor) -> None:
    """Add what all processes found to a decaying sum, unless it is not finite (a skipped step)."""
    updated = kept * MOMENTUM + sum_over_processes(found)
    kept.copy_(torch.where(updated.isfinite().all(), updated, kept))
