"""Cached states of a frozen encoder: no row passes it twice.

The last hidden states of every row are computed once, without dropout, kept on disk under a key made
of the frozen weights and the token ids, and read by every later epoch, method and run. Where the head
reads one token, that token alone is kept for each row, also of those that the model is scored on, and
heads train in seconds.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlp_adapt.data.batches.encoded import EncodedRows, collate, concatenate, to_tensors
from nlp_adapt.errors import AdaptationError
from nlp_adapt.modeling.trunk import Trunk
from nlp_adapt.modeling.units import UnitReader, without_dropout
from nlp_adapt.objectives import Objective
from nlp_adapt.training.frozen.last_states import (
    LastStates,
    UnsuitableError,
    same_encoder,
    weights_key,
    with_states,
)

PROBE_ROWS = 6
TOLERANCE = 1e-4
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedTrunk:
    """A frozen encoder and the rows that carry its last states.

    Attributes:
        rows: Training rows by side, with `states`.
        first_only: Whether each row is kept as the state of its first token alone.
        scored: Rows that the model is scored on, where their states are known too.
    """

    trunk: Trunk
    rows: Mapping[str, EncodedRows]
    first_only: bool = False
    scored: "KnownRows | None" = None

    @contextmanager
    def used(self, states: Tensor, copy: nn.Module | None = None) -> Iterator[None]:
        """Inside, the model, or a copy of it, starts from the cached `states` of a batch.

        A head on one token a row runs in float32, whatever the run's precision: to cast its weights
        at each step takes longer than smaller numbers save.
        """
        own = self.trunk if copy is None else self.trunk.of_copy(copy)
        if states.dtype == torch.uint16:
            states = states.view(torch.bfloat16).float()
        full = torch.autocast(states.device.type, enabled=False)
        with own.skipped(states), full if self.first_only else nullcontext():
            yield


class KnownRows(nn.Module):
    """Stands in for the embeddings of rows whose first token's last state is known.

    Args:
        rows: The rows; no other is read.
        states: `[rows, size]` state of each row's first token, float32.
        pad_id: Token id of padding; no row may end with it.
    """

    def __init__(self, trunk: Trunk, rows: EncodedRows, states: np.ndarray, pad_id: int) -> None:
        super().__init__()
        self._trunk, self._states, self._pad_id = trunk, states, pad_id
        ids, offsets = rows.ids.astype(np.int64), rows.offsets
        self._places = {
            ids[offsets[row] : offsets[row + 1]].tobytes(): row for row in range(len(rows))
        }

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, the encoder looks its rows up instead of computing them."""
        with self._trunk.fed_by(self):
            yield

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        """`[rows, width, size]` for `input_ids` `[rows, width]`: zeros but at each first token."""
        ids = options["input_ids"] if "input_ids" in options else arguments[0]
        padded = ids.cpu().numpy().astype(np.int64)
        ends = padded.shape[1] - (padded != self._pad_id)[:, ::-1].argmax(1)
        found = [self._places[row[:end].tobytes()] for row, end in zip(padded, ends, strict=True)]
        states = torch.zeros(*ids.shape, self._states.shape[1], device=ids.device)
        states[:, 0] = torch.from_numpy(self._states[found]).to(ids.device)
        return states


def cached_trunk(
    task_model: Any,
    rows: Mapping[str, EncodedRows],
    reader: UnitReader,
    objectives: Mapping[str, Objective],
    *,
    pad_id: int,
    precision: str = "fp32",
    scored: Sequence[EncodedRows] = (),
) -> CachedTrunk | None:
    """Rows with cached states for a stage, or None, with one line of why, if it cannot have them.

    Args:
        objectives: The stage's terms; one that looks at the text itself rules the cache out.
        precision: The run's: `bf16` keeps the states in bfloat16, others in float32.
        scored: Rows that the model will be scored on. Where the head reads one token, their states
            are kept as well, always in float32.
    """
    from nlp_adapt.data.reading.builtin import cache_folder

    folder = cache_folder() / "states"
    try:
        trunk, first_only = _fitting_trunk(task_model, rows, reader, objectives, pad_id)
        weights = weights_key(task_model)
        known = None
        if first_only and scored and not any(_ends_with(part, pad_id) for part in scored):
            part = concatenate(scored)
            lasting = {"scored": LastStates(trunk, part, first_only, pad_id)}
            states = with_states(lasting, folder, weights)["scored"].states
            assert states is not None
            known = KnownRows(trunk, part, states, pad_id)
        lasting = {
            side: LastStates(trunk, part, first_only, pad_id, precision)
            for side, part in rows.items()
        }
        return CachedTrunk(trunk, with_states(lasting, folder, weights), first_only, known)
    except UnsuitableError as reason:
        _logger.warning("the frozen layers run again at each step: no cache, since %s.", reason)
        return None


def _fitting_trunk(
    task_model: Any,
    rows: Mapping[str, EncodedRows],
    reader: UnitReader,
    objectives: Mapping[str, Objective],
    pad_id: int,
) -> tuple[Trunk, bool]:
    """The encoder, and whether the state of each row's first token is all that is read of it.

    A few rows decide, with and without their states, so that no list of architectures is needed.
    """
    for name, objective in objectives.items():
        if not objective.reads_rows_as_they_are:
            raise UnsuitableError(f"{name} reads the text itself")
        other = objective.other_reader
        if other is not None and not same_encoder(other, task_model):
            raise UnsuitableError(f"the teacher of {name} has another encoder")
    try:
        trunk = Trunk(task_model)
    except AdaptationError as error:
        raise UnsuitableError(str(error).rstrip(".")) from error
    one = next(iter(rows.values()))
    few = one.select(np.linspace(0, len(one) - 1, min(PROBE_ROWS, len(one))).astype(int))
    wanted = _read(task_model, few, reader, pad_id)
    for first_only in (True, False) if few.positions is None else (False,):
        last = LastStates(trunk, few, first_only, pad_id)
        states = np.zeros(last.shape, dtype=last.dtype)
        try:
            last.fill(states)
            found = _read(task_model, replace(last.stored, states=states), reader, pad_id, trunk)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            continue
        if all(_close(*pair) for pair in zip(found, wanted, strict=True)):
            return trunk, first_only
    raise UnsuitableError("its architecture gives other results with it")


@torch.no_grad()
def _read(
    task_model: Any, rows: EncodedRows, reader: UnitReader, pad_id: int, trunk: Trunk | None = None
) -> tuple[Tensor, Tensor]:
    """Logits and features of rows, through the whole model or, with `trunk`, from their states."""
    chosen, width = np.arange(len(rows)), int(rows.lengths.max())
    device = next(task_model.parameters()).device
    batch: dict[str, Any] = to_tensors(
        collate([(rows, chosen)], width=width, pad_id=pad_id), device
    )
    batch.update(source_units=len(batch["labels"]))
    for side in ("source", "target"):
        batch.update({f"{side}_count": 1.0, f"{side}_labelled": 1.0})
    skipped = nullcontext() if trunk is None else trunk.skipped(batch["trunk_states"])
    with without_dropout(task_model), skipped:
        output = reader.read(task_model, batch)[0]
    return output.logits.float(), output.features.float()


def _close(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    return bool((found - wanted).abs().max() <= TOLERANCE * wanted.abs().max().clamp_min(1.0))


def _ends_with(rows: EncodedRows, token: int) -> bool:
    """Whether any row's last token is `token`."""
    return bool((rows.ids[rows.offsets[1:] - 1] == token).any())
