"""One batch through the encoder in parts of different width, seen from outside as one pass.

On a CPU time goes with the tokens, padding included, and where the texts of one domain are longer
than those of the other, half of a batch is mostly padding. The encoder then runs the parts of a
batch one after the other, each at its own width, and puts their outputs together again. The word
embeddings are looked up once, for the whole batch: their gradient is as large as the vocabulary.
Whoever watches or changes the embeddings' output, the encoder's output or anything above it sees
the whole batch, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_adapt.modeling.layers import encoder_of
from nlp_adapt.modeling.trunk import Given, swapped


@contextmanager
def in_passes(task_model: Any, passes: Sequence[tuple[int, int]]) -> Iterator[None]:
    """Inside, the encoder runs in parts on batches of the rows and the width that `passes` add up to.

    Other batches, such as those of one side alone, go through it as they are.

    Args:
        task_model: A classification model.
        passes: Rows and width of each part, in the order of the batch's rows; what lies beyond a
            part's width must be padding. A single part changes nothing.
    """
    if len(passes) < 2:
        yield
        return
    encoder = encoder_of(task_model)
    shape = (sum(rows for rows, _ in passes), max(width for _, width in passes))
    own, whole = encoder.__dict__.get("forward"), encoder.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        ids = options["input_ids"] if "input_ids" in options else arguments[0]
        if ids is None or tuple(ids.shape) != shape:
            return whole(*arguments, **options)
        return _joined(_run(encoder, whole, ids, passes, arguments, options), shape[1])

    encoder.forward = forward
    try:
        yield
    finally:
        del encoder.forward
        if own is not None:
            encoder.forward = own


def _run(
    encoder: Any,
    whole: Callable[..., Any],
    ids: Tensor,
    passes: Sequence[tuple[int, int]],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> list[Any]:
    """The outputs of each part."""
    embeddings = encoder.get_input_embeddings()
    holder, name = _place_of(embeddings, encoder)
    embedded, given = embeddings(ids), Given()
    outputs, first = [], 0
    with swapped([(holder, name, given)]):
        for rows, width in passes:
            part = slice(first, first + rows)

            def cut(value: Any, part: slice = part, width: int = width) -> Any:
                fits = isinstance(value, Tensor) and value.shape[:2] == ids.shape
                return value[part, :width] if fits else value

            given.states = embedded[part, :width]
            outputs.append(
                whole(*map(cut, arguments), **{key: cut(value) for key, value in options.items()})
            )
            first += rows
    return outputs


def _place_of(module: nn.Module, parent: nn.Module) -> tuple[nn.Module, str]:
    """Which submodule of `parent` holds `module`, and under which name."""
    return next(
        (holder, name)
        for holder in parent.modules()
        for name, child in holder._modules.items()
        if child is module
    )


def _joined(outputs: Sequence[Any], width: int) -> Any:
    """Token states and pooled rows of all parts; token states are zero beyond a part's width."""
    found: dict[str, Tensor] = {}
    for name, value in outputs[0].items():
        if not isinstance(value, Tensor):
            continue
        values = [output[name] for output in outputs]
        if value.dim() == 3:
            values = [F.pad(value, (0, 0, 0, width - value.shape[1])) for value in values]
        found[name] = torch.cat(values)
    return type(outputs[0])(**found)
