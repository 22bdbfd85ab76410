"""Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nlp_adapt.modeling.perturbation import pgd_perturbation
from nlp_adapt.objectives.fgm import Fgm, FgmConfig
from nlp_adapt.options import COUNT, POSITIVE, option


@dataclass(kw_only=True)
class PgdConfig(FgmConfig):
    """Options of adversarial training with several steps."""

    steps: int = option(3, "gradient steps, each a further pass over the source rows", bounds=COUNT)
    step_size: float = option(0.5, "length of a step, as a share of epsilon", bounds=POSITIVE)


class Pgd(Fgm):
    """As `fgm`, with several steps projected back into the ball of radius epsilon."""

    config_class = PgdConfig
    summary = "adversarial training with several projected gradient steps"
    paper = "Madry et al. 2018, ICLR"
    name = "pgd"

    def perturbation(self, model: Any, batch: dict[str, Any], loss: Any) -> Tensor:
        """The perturbation of the batch, `[rows, width, embedding size]`."""
        config = self.config
        return pgd_perturbation(model, batch, loss, config.epsilon, config.steps, config.step_size)
