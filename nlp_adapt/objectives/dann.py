"""Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks", JMLR 17(59)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.config import LAMBDA_SCHEDULES
from nlp_adapt.modeling.discriminator import DomainDiscriminator, reverse_gradient
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Objective, ObjectiveConfig, Setup, lambda_at
from nlp_adapt.options import COUNT, NOT_NEGATIVE, SHARE, option


@dataclass(kw_only=True)
class ReversalConfig(ObjectiveConfig):
    """Options of a gradient reversal; what is unset comes from the recipe."""

    lambda_max: float | None = option(
        None, "final strength of the gradient reversal", bounds=NOT_NEGATIVE, recipe="lambda_max"
    )
    lambda_schedule: str | None = option(
        None, "how lambda grows over a stage", LAMBDA_SCHEDULES, recipe="lambda_schedule"
    )
    source_warmup: float | None = option(
        None, "share of the stage in which lambda stays 0", bounds=SHARE, recipe="source_warmup"
    )

    def strength(self, progress: Progress) -> float:
        """Lambda at this point of the stage."""
        assert self.lambda_schedule is not None
        assert self.lambda_max is not None
        warmup = self.source_warmup or 0.0
        return lambda_at(self.lambda_schedule, self.lambda_max, progress, warmup)


@dataclass(kw_only=True)
class AdversarialConfig(ReversalConfig):
    """Options that adversarial objectives share; what is unset comes from the recipe."""

    hidden_size: int | None = option(
        None,
        "width of the discriminator's hidden layers",
        bounds=COUNT,
        recipe="discriminator_hidden_size",
    )
    layers: int | None = option(
        None, "linear layers in the discriminator", bounds=COUNT, recipe="discriminator_layers"
    )
    dropout: float | None = option(
        None, "dropout inside the discriminator", bounds=SHARE, recipe="discriminator_dropout"
    )
    spectral_norm: bool = option(False, "bound the discriminator's Lipschitz constant")
    level: str = option("unit", "tell words apart, or sentences (token tasks)", ("unit", "row"))


class AdversarialObjective(Objective):
    """Shared parts of objectives with a domain discriminator behind a gradient reversal."""

    config_class = AdversarialConfig

    def __init__(self, config: AdversarialConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        self.discriminator = DomainDiscriminator(
            self.input_size(setup),
            domains=setup.num_sources + setup.num_targets,
            hidden=self.config.hidden_size,
            layers=self.config.layers,
            dropout=self.config.dropout,
            spectral_norm=self.config.spectral_norm,
        )

    def input_size(self, setup: Setup) -> int:
        """Width of what the discriminator reads."""
        return setup.features

    def prepared(
        self, source: DomainOutput, target: DomainOutput, progress: Progress
    ) -> tuple[DomainOutput, DomainOutput, float]:
        """Both sides, as sentences where the option `level` is `row`; and lambda."""
        if self.config.level == "row":
            source, target = source.by_row(), target.by_row()
        return source, target, self.config.strength(progress)


class Dann(AdversarialObjective):
    """A discriminator tells the domains apart; the encoder, through the reversal, hides them.

    The discriminator's cross-entropy is averaged within each domain, then over the domains of a
    side, then over the two sides: how many units a domain has in the batch never matters. Each of
    several sources or targets is a class of its own, so the encoder hides in equal parts a unit's
    side and its domain within the side.
    """

    summary = "a domain discriminator behind a gradient reversal"
    paper = "Ganin et al. 2016, JMLR 17(59)"

    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`dann`; measurements `dann/accuracy`, `dann/entropy` and `dann/lambda`."""
        source, target, strength = self.prepared(source, target, progress)
        features = torch.cat([source.features, target.features])
        logits = self.discriminator(reverse_gradient(features, strength))
        loss, measured = domain_loss(logits, source, target)
        measured["lambda"] = torch.tensor(strength)
        return {"dann": loss, **{f"dann/{name}": value for name, value in measured.items()}}


def domain_loss(
    logits: Tensor, source: DomainOutput, target: DomainOutput
) -> tuple[Tensor, dict[str, Tensor]]:
    """Domain-balanced cross-entropy of discriminator logits `[source units + target units, domains]`.

    Returns:
        The loss, and `accuracy` (balanced over the domains) and `entropy` (nats) to log.
    """
    domains = torch.cat([source.domains, target.domains])
    losses = F.cross_entropy(logits, domains, reduction="none")
    split = len(source)
    loss = 0.5 * (source.mean(losses[:split]) + target.mean(losses[split:]))
    with torch.no_grad():
        hits = (logits.argmax(-1) == domains).float()
        if source.balance is None and target.balance is None:
            parts = [hits[:split], hits[split:]]
        else:
            parts = [hits[domains == domain] for domain in domains.unique()]
        shares = (part.sum() / max(len(part), 1) for part in parts)
        accuracy = sum(shares, hits.new_zeros(())) / max(len(parts), 1)
        log_probabilities = logits.log_softmax(-1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum() / max(len(hits), 1)
    return loss, {"accuracy": accuracy, "entropy": entropy}
