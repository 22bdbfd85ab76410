"""Wasserstein distance guided representation learning.

Shen et al. 2018, "Wasserstein Distance Guided Representation Learning for Domain Adaptation", AAAI;
gradient penalty of Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", NeurIPS.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call

from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.objectives.base import Setup
from nlp_adapt.objectives.dann import AdversarialConfig, AdversarialObjective
from nlp_adapt.objectives.statistics import full_precision, zero
from nlp_adapt.options import NOT_NEGATIVE, POSITIVE, SHARE, option

Critic = dict[str, Tensor]


@dataclass(kw_only=True)
class WassersteinConfig(AdversarialConfig):
    """Options of the Wasserstein distance."""

    gradient_penalty: float = option(
        10.0, "weight of the critic's gradient penalty", bounds=NOT_NEGATIVE
    )
    critic_steps: int = option(
        5, "gradient steps that refine the critic on each batch; 0: none", bounds=NOT_NEGATIVE
    )
    critic_learning_rate: float = option(0.01, "step size of these refinements", bounds=POSITIVE)
    dropout: float | None = option(0.0, "dropout inside the critic", bounds=SHARE)


class Wasserstein(AdversarialObjective):
    """A critic estimates the Wasserstein distance of the domains; the encoder makes it small.

    The paper steps the critic several times per batch before the encoder moves. An objective owns
    no optimizer, so two terms share one optimizer step:

    - `wasserstein_critic` trains the critic on detached features: minus the distance, plus the
      penalty on gradient norms other than 1, at both domains and between them.
    - `wasserstein`, for the encoder, is lambda times the distance under a copy of the critic that
      `critic_steps` plain gradient steps have refined on this batch. The copy is then dropped, so
      that processes and checkpoints stay in step.

    Each domain has an equal share of its side of the distance.
    """

    config_class = WassersteinConfig
    summary = "a critic's Wasserstein distance between the domains, made small"
    paper = "Shen et al. 2018, AAAI"

    def __init__(self, config: WassersteinConfig, setup: Setup) -> None:
        # A critic has a single output, the discriminator of "one domain".
        super().__init__(config, replace(setup, num_sources=0, num_targets=1))

    @full_precision
    def losses(self, source: DomainOutput, target: DomainOutput, progress: Progress) -> Terms:
        """`wasserstein`, `wasserstein_critic`; `wasserstein/distance` and `wasserstein/lambda`."""
        source, target, strength = self.prepared(source, target, progress)
        fixed_source = replace(source, features=source.features.detach())
        fixed_target = replace(target, features=target.features.detach())
        critic: Critic = dict(self.discriminator.named_parameters())
        critic_loss = self._critic_loss(critic, fixed_source, fixed_target)
        refined = {name: value.detach() for name, value in critic.items()}
        if len(source) and len(target):
            refined = self._refine(refined, fixed_source, fixed_target)
        distance = self._distance(refined, source, target)
        return {
            "wasserstein": strength * distance,
            "wasserstein_critic": critic_loss,
            "wasserstein/distance": distance.detach(),
            "wasserstein/lambda": torch.tensor(strength),
        }

    def _distance(self, critic: Critic, source: DomainOutput, target: DomainOutput) -> Tensor:
        """Mean critic value of the source minus that of the target; zero if either is empty."""
        features = torch.cat([source.features, target.features])
        values = functional_call(self.discriminator, critic, (features,)).squeeze(1)
        if not len(source) or not len(target):
            return values.sum() * 0.0 + zero(source, target)
        return source.mean(values[: len(source)]) - target.mean(values[len(source) :])

    def _critic_loss(self, critic: Critic, source: DomainOutput, target: DomainOutput) -> Tensor:
        loss = -self._distance(critic, source, target)
        if self.config.gradient_penalty and len(source) and len(target):
            loss = loss + self.config.gradient_penalty * self._penalty(critic, source, target)
        return loss

    def _refine(self, critic: Critic, source: DomainOutput, target: DomainOutput) -> Critic:
        """The critic after `critic_steps` gradient steps on detached features."""
        for _ in range(self.config.critic_steps):
            with torch.enable_grad():
                trained = {name: value.requires_grad_() for name, value in critic.items()}
                loss = self._critic_loss(trained, source, target)
                gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
            rate = self.config.critic_learning_rate
            critic = {
                name: value.detach() if slope is None else value.detach() - rate * slope
                for (name, value), slope in zip(trained.items(), gradients, strict=True)
            }
        return critic

    def _penalty(self, critic: Critic, source: DomainOutput, target: DomainOutput) -> Tensor:
        """Mean of `(|gradient| - 1)^2` at the units of both domains and on lines between them."""
        left, right = source.features, target.features
        size = max(len(left), len(right))
        left_ends = left[torch.arange(size, device=left.device) % len(left)]
        right_ends = right[torch.arange(size, device=right.device) % len(right)]
        share = torch.rand(size, 1, device=left.device)
        between = share * left_ends + (1.0 - share) * right_ends
        points = torch.cat([between, left, right]).requires_grad_()
        with torch.enable_grad():
            values = functional_call(self.discriminator, critic, (points,))
            (gradients,) = torch.autograd.grad(values.sum(), points, create_graph=True)
        norms = (gradients.square().sum(-1) + 1e-12).sqrt()
        return (norms - 1.0).square().mean()
