"""Small perturbations of the input embeddings, for adversarial training and evaluation.

A perturbation is added by a hook on the model's word-embedding layer, so that token ids still reach
the model: positions, padding and distributed wrappers behave as without it in every architecture,
which `inputs_embeds` does not promise (RoBERTa numbers positions differently then).

Sizes are relative: epsilon 0.02 moves a row's word embeddings `[width, size]` by 2 % of their L2
norm, whatever the scale of the encoder's embeddings and the length of the row.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import architecture_of, plain_model
from nlp_adapt.modeling.units import without_dropout

# A power of two keeps tiny gradients above fp16's underflow and changes no other number.
LOSS_SCALE = 1024.0


@contextmanager
def perturbed(model: Any, perturbation: Tensor) -> Iterator[None]:
    """Add `perturbation` `[rows, width, size]` to the word embeddings of every forward pass."""
    if architecture_of(plain_model(model).config).tokens_first:
        perturbation = perturbation.transpose(0, 1)

    def add(module: nn.Module, arguments: tuple[Any, ...], embedded: Tensor) -> Tensor:
        return embedded + perturbation.to(embedded.dtype)

    handle = model.get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def refuse_unperturbable(task_model: Any, what: str) -> None:
    """Refuse a model that reads the text's embeddings in two places, or through a tied copy.

    Args:
        what: What would perturb them.
    """
    model = plain_model(task_model)
    own = model.get_input_embeddings()
    tied = [one for one in model.modules() if getattr(one, "weight", None) is own.weight]
    pads = architecture_of(model.config).pads_further
    alone = isinstance(own, nn.Embedding) and tied == [own]
    if model.config.is_encoder_decoder or not alone or pads:
        raise ConfigError(
            f"{what} perturbs the embeddings of the text, which {type(model).__name__} does not read "
            "in one place and as they are: choose another method, or an encoder such as BERT."
        )


def embed(model: Any, batch: Mapping[str, Any]) -> Tensor:
    """The word embeddings of a batch without padding, `[rows, width, size]`, in float32."""
    with torch.no_grad():
        embedded = model.get_input_embeddings()(batch["input_ids"]).float()
        return embedded * batch["attention_mask"].unsqueeze(-1)


def row_norms(values: Tensor) -> Tensor:
    """L2 norm of each row of `[rows, width, size]`, as `[rows, 1, 1]`."""
    return values.flatten(1).norm(dim=1).view(-1, 1, 1)


def on_sphere(direction: Tensor, mask: Tensor, radius: Tensor) -> Tensor:
    """`direction` without padding, each row scaled to the norm `radius`; zero stays zero."""
    direction = torch.nan_to_num(direction.float(), posinf=0.0, neginf=0.0) * mask.unsqueeze(-1)
    # Dividing by the largest entry first keeps squares of tiny gradients from vanishing.
    largest = direction.abs().flatten(1).amax(1).view(-1, 1, 1)
    direction = direction / largest.clamp_min(torch.finfo(torch.float32).tiny)
    return direction * (radius / row_norms(direction).clamp_min(1e-12))


def in_ball(perturbation: Tensor, radius: Tensor) -> Tensor:
    """Rows beyond the norm `radius` drawn back onto it."""
    norms = row_norms(perturbation)
    return perturbation * (radius / norms.clamp_min(1e-12)).clamp_max(1.0)


def loss_gradient(model: Any, perturbation: Tensor, loss: Callable[[], Tensor]) -> Tensor:
    """Gradient of `loss()` by `perturbation`, at it; parameters collect no gradient.

    Args:
        model: The task model that `loss` runs.
        perturbation: `[rows, width, size]` where the gradient is taken.
        loss: Runs the model and returns the sum of its rows' losses.
    """
    at = perturbation.detach().requires_grad_(True)
    with torch.enable_grad(), perturbed(model, at):
        value = loss()
        (gradient,) = torch.autograd.grad(value * LOSS_SCALE, at, allow_unused=True)
    return torch.zeros_like(perturbation) if gradient is None else gradient.float() / LOSS_SCALE


def fgm_perturbation(
    model: Any, batch: Mapping[str, Any], loss: Callable[[], Tensor], epsilon: float
) -> Tensor:
    """One step along the gradient of the loss (Miyato et al. 2017), `[rows, width, size]`.

    Args:
        batch: Its inputs: `input_ids` and `attention_mask` `[rows, width]`.
        loss: Runs the model on the batch and returns the sum of its rows' losses.
        epsilon: Norm of each row's perturbation, as a share of its embeddings' norm.
    """
    embedded = embed(model, batch)
    with without_dropout(model):
        gradient = loss_gradient(model, torch.zeros_like(embedded), loss)
    return on_sphere(gradient, batch["attention_mask"], epsilon * row_norms(embedded))


def pgd_perturbation(
    model: Any,
    batch: Mapping[str, Any],
    loss: Callable[[], Tensor],
    epsilon: float,
    steps: int,
    step_size: float,
) -> Tensor:
    """Several gradient steps, each projected back into the ball (Madry et al. 2018).

    Args:
        epsilon: Radius of the ball, as a share of the norm of each row's embeddings.
        step_size: Length of a step, as a share of the radius.
    """
    embedded = embed(model, batch)
    radius = epsilon * row_norms(embedded)
    perturbation = torch.zeros_like(embedded)
    with without_dropout(model):
        for _ in range(steps):
            gradient = loss_gradient(model, perturbation, loss)
            step = on_sphere(gradient, batch["attention_mask"], step_size * radius)
            perturbation = in_ball(perturbation + step, radius)
    return perturbation


def random_perturbation(model: Any, batch: Mapping[str, Any], epsilon: float) -> Tensor:
    """A random direction from torch's generator, each row of relative norm `epsilon`."""
    embedded = embed(model, batch)
    direction = torch.randn_like(embedded)
    return on_sphere(direction, batch["attention_mask"], epsilon * row_norms(embedded))
