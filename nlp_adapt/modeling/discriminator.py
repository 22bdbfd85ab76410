"""The domain discriminator and the gradient reversal in front of it.

Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks", JMLR 17(59).
"""

from typing import Any

import torch
from torch import Tensor, nn


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * -ctx.strength, None


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """The identity forward; backward the gradient is multiplied by `-strength`."""
    return _Reverse.apply(features, strength)


class DomainDiscriminator(nn.Module):
    """An MLP from features `[units, features]` to domain logits `[units, domains]` in float32.

    It holds no BatchNorm, whose statistics would mix the domains, and always computes in float32:
    its loss is near log 2 when it works, where bf16 resolves only steps of 0.004.

    Args:
        features: Width of the input.
        layers: Linear layers in all; 1 is a linear probe.
        dropout: Dropout after each hidden layer.
        spectral_norm: Bound each layer's Lipschitz constant (Miyato et al. 2018).
    """

    def __init__(
        self,
        features: int,
        domains: int = 2,
        hidden: int = 256,
        layers: int = 2,
        dropout: float = 0.1,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = features
        for _ in range(layers - 1):
            blocks += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden
        blocks.append(nn.Linear(width, domains))
        if spectral_norm:
            blocks = [
                nn.utils.parametrizations.spectral_norm(block)
                if isinstance(block, nn.Linear)
                else block
                for block in blocks
            ]
        self.layers = nn.Sequential(*blocks)

    def forward(self, features: Tensor) -> Tensor:
        """Domain logits `[units, domains]`, float32 under autocast too."""
        with torch.autocast(features.device.type, enabled=False):
            return self.layers(features.float())
