"""Adversarial training with projected gradient descent.

Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from nlp_adapt.config import option
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.perturbation import pgd_perturbation
from nlp_adapt.objectives.base import Setup
from nlp_adapt.objectives.fgm import Fgm, FgmConfig


@dataclass(kw_only=True)
class PgdConfig(FgmConfig):
    """Options of adversarial training with several steps."""

    steps: int = option(3, "gradient steps, each a further pass over the source rows")
    step_size: float = option(0.5, "length of a step, as a share of epsilon")


class Pgd(Fgm):
    """As `fgm`, with several steps projected back into the ball of radius epsilon."""

    config_class: ClassVar = PgdConfig
    summary: ClassVar[str] = "task loss under the worst of several small steps on the embeddings"
    paper: ClassVar[str] = "Madry et al. 2018, ICLR"
    name: ClassVar[str] = "pgd"

    def __init__(self, config: PgdConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        if config.steps < 1:
            raise ConfigError(f"pgd.steps is {config.steps}, but must be at least 1.")
        if not config.step_size > 0.0:
            raise ConfigError(f"pgd.step_size is {config.step_size}, but must be above 0.")

    def perturbation(self, model: Any, batch: dict[str, Any], loss: Any) -> Tensor:
        """The perturbation of the batch, `[rows, width, embedding size]`."""
        config = self.config
        return pgd_perturbation(model, batch, loss, config.epsilon, config.steps, config.step_size)
