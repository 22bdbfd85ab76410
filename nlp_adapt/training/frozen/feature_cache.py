"""Training from cached states where the lower layers are frozen: no token passes them twice.

Their output for every training row is computed once, without dropout, kept on disk under a key made
of the frozen weights, the token ids and the depth, and read by every later epoch, method and run.
With the whole encoder frozen and a head that reads one token, that one token is kept for each row,
also of those that the model is scored on, and heads train in seconds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlp_adapt.data.batches.encoded import (
    EncodedRows,
    budget_batches,
    collate,
    concatenate,
    steady_widths,
    to_tensors,
    width_for,
)
from nlp_adapt.data.reading.builtin import cache_folder
from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.architectures import encoder_layers, plain_model
from nlp_adapt.modeling.perturbation import without_dropout
from nlp_adapt.modeling.precision import autocast
from nlp_adapt.modeling.trunk import Trunk
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Objective
from nlp_adapt.training.frozen.known_rows import KnownRows, ends_with
from nlp_adapt.training.frozen.state_cache import cache_key, cached_states, has_room, is_cached

TOKENS_PER_BATCH = 4096
PROBE_ROWS = 6
TOLERANCE = 1e-4
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedTrunk:
    """A frozen trunk and the rows that carry its states.

    Attributes:
        trunk: The part of the encoder that is skipped.
        rows: Training rows by side, with `states`.
        first_only: Whether each row is kept as the last state of its first token alone.
        scored: Rows that the model is scored on, where their states are known too.
    """

    trunk: Trunk
    rows: Mapping[str, EncodedRows]
    first_only: bool = False
    scored: KnownRows | None = None

    @contextmanager
    def used(self, states: Tensor, copy: nn.Module | None = None) -> Iterator[None]:
        """Inside, the model, or a copy of it, starts from the cached `states` of a batch.

        A head on one token a row runs in float32, whatever the run's precision: to cast its weights
        at each step takes longer than smaller numbers save.
        """
        trunk = self.trunk if copy is None else self.trunk.of_copy(copy)
        full = torch.autocast(states.device.type, enabled=False)
        with trunk.skipped(restored(states)), full if self.first_only else nullcontext():
            yield


def cached_trunk(
    task_model: Any,
    depth: int,
    rows: Mapping[str, EncodedRows],
    reader: UnitReader,
    objectives: Mapping[str, Objective],
    *,
    pad_id: int,
    precision: str = "fp32",
    scored: Sequence[EncodedRows] = (),
    folder: Path | None = None,
) -> CachedTrunk | None:
    """Rows with cached states for a stage, or None, with one line of why, if it cannot have them.

    Args:
        task_model: The model, its lower part frozen.
        depth: Frozen layers, at least 1.
        rows: Training rows by side.
        reader: Reads units from the model's outputs.
        objectives: The stage's terms; one that looks at the text itself rules the cache out.
        pad_id: Token id of padding.
        precision: The run's: `bf16` keeps the states in bfloat16, others in float32.
        scored: Rows that the model will be scored on. Where the head reads one token of the last
            layer, their states are kept as well, always in float32.
        folder: Where the files go; default: a folder in the cache of nlp_adapt.
    """
    try:
        trunk, first_only = _fitting_trunk(task_model, depth, rows, reader, objectives, pad_id)
        folder = folder or cache_folder() / "states"
        fillers = {
            side: _Filler(task_model, trunk, part, first_only, pad_id, precision)
            for side, part in rows.items()
        }
        weights = _weights_key(task_model, depth)
        known = None
        if first_only and scored and not any(ends_with(part, pad_id) for part in scored):
            part = concatenate(scored)
            filler = _Filler(task_model, trunk, part, first_only, pad_id, "fp32")
            states = _with_states({"scored": filler}, weights, folder)["scored"].states
            assert states is not None
            known = KnownRows(trunk, part, states, pad_id)
        return CachedTrunk(trunk, _with_states(fillers, weights, folder), first_only, known)
    except _UnsuitableError as reason:
        _logger.warning("the frozen layers run again at each step: no cache, since %s.", reason)
        return None


class _UnsuitableError(Exception):
    """Why a stage has no cached states."""


def _fitting_trunk(
    task_model: Any,
    depth: int,
    rows: Mapping[str, EncodedRows],
    reader: UnitReader,
    objectives: Mapping[str, Objective],
    pad_id: int,
) -> tuple[Trunk, bool]:
    """The part to skip, and whether its output is needed for each row's first token alone."""
    own_view = [name for name, one in objectives.items() if not one.reads_rows_as_they_are]
    if own_view:
        raise _UnsuitableError(f"{', '.join(own_view)} reads the text itself")
    try:
        trunk = Trunk(task_model, depth)
    except ModelError as error:
        raise _UnsuitableError(str(error)) from error
    first_only = _fit(task_model, trunk, next(iter(rows.values())), reader, pad_id)
    if first_only is None:
        raise _UnsuitableError("its architecture gives other results with it")
    return trunk, first_only


def _with_states(
    fillers: Mapping[str, _Filler], weights: str, folder: Path
) -> dict[str, EncodedRows]:
    """The rows of each side with their states, read from `folder` or computed."""
    keys = {side: filler.key(weights) for side, filler in fillers.items()}
    needed = sum(
        filler.size for side, filler in fillers.items() if not is_cached(folder, keys[side])
    )
    if not has_room(folder, needed):
        raise _UnsuitableError(
            f"it would take {needed / 2**30:.1f} GiB, more than half of the free disk"
        )
    found = {}
    for side, filler in fillers.items():
        try:
            states = cached_states(folder, keys[side], filler.shape, filler.dtype, filler.fill)
        except OSError as error:
            raise _UnsuitableError(
                f"{folder} cannot be written ({error.strerror or error})"
            ) from error
        found[side] = replace(filler.stored, states=states)
    return found


def first_tokens(rows: EncodedRows) -> EncodedRows:
    """The same rows, cut to their first token; batches hold the same rows as before."""
    return replace(
        rows,
        ids=rows.ids[rows.offsets[:-1]],
        offsets=np.arange(len(rows) + 1),
        planned_lengths=rows.lengths,
    )


@dataclass(frozen=True)
class _Filler:
    """Runs the trunk over rows and writes what it gives."""

    task_model: Any
    trunk: Trunk
    rows: EncodedRows
    first_only: bool
    pad_id: int
    precision: str

    @cached_property
    def stored(self) -> EncodedRows:
        """The rows as they are kept: whole, or cut to their first token."""
        return first_tokens(self.rows) if self.first_only else self.rows

    @property
    def dtype(self) -> str:
        """NumPy type of the states on disk."""
        return "uint16" if self.precision == "bf16" else "float32"

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens that are kept, and the size of a state."""
        return len(self.stored.ids), self.trunk.size

    @property
    def size(self) -> int:
        """Bytes of all states."""
        return len(self.stored.ids) * self.trunk.size * np.dtype(self.dtype).itemsize

    def key(self, weights: str) -> str:
        """What the states depend on: the first token's too are those of the whole row."""
        ids, offsets = self.rows.ids, self.rows.offsets
        return cache_key(weights, self.dtype, str(self.first_only), ids, offsets)

    def fill(self, array: np.ndarray) -> None:
        """Write the states of every token, or of each row's first, into `array`."""
        widths = steady_widths(int(self.rows.lengths.max()))
        device = next(self.task_model.parameters()).device
        batches = budget_batches(self.rows, tokens=TOKENS_PER_BATCH, most_rows=256)
        with without_dropout(self.task_model), autocast(device, self.precision):
            for chosen in batches:
                width = width_for(int(self.rows.lengths[chosen].max()), widths)
                batch = collate([(self.rows, chosen)], width=width, pad_id=self.pad_id)
                names = ("input_ids", "attention_mask")
                inputs = to_tensors({name: batch[name] for name in names}, device)
                states = _storable(self.trunk.states(inputs), array.dtype)
                for place, row in enumerate(chosen):
                    start, stop = self.rows.offsets[row], self.rows.offsets[row + 1]
                    if self.first_only:
                        array[row] = states[place, 0]
                    else:
                        array[start:stop] = states[place, : stop - start]


def _storable(states: Tensor, dtype: np.dtype) -> np.ndarray:
    if dtype == np.uint16:
        return states.to(torch.bfloat16).cpu().view(torch.uint16).numpy()
    return states.float().cpu().numpy()


def restored(states: Tensor) -> Tensor:
    """States of a collated batch in float32, whether they were kept so or as bits of bfloat16."""
    return states.view(torch.bfloat16).float() if states.dtype == torch.uint16 else states


def _fit(
    task_model: Any, trunk: Trunk, rows: EncodedRows, reader: UnitReader, pad_id: int
) -> bool | None:
    """Whether first tokens are enough, or None where cached states do not give the same results.

    A few rows decide, with and without the trunk, so that no list of architectures is needed.
    """
    chosen = np.linspace(0, len(rows) - 1, min(PROBE_ROWS, len(rows))).astype(int)
    wanted = _read(task_model, rows, chosen, reader, pad_id, None)
    whole = trunk.depth == len(encoder_layers(task_model)) and rows.positions is None
    for first_only in (True, False) if whole else (False,):
        stored = first_tokens(rows) if first_only else rows
        states = np.zeros((len(stored.ids), trunk.size), dtype=np.float32)
        part = _Filler(task_model, trunk, _subset(rows, chosen), first_only, pad_id, "fp32")
        some = np.zeros((_subset(stored, chosen).offsets[-1], trunk.size), dtype=np.float32)
        part.fill(some)
        states[_token_indices(stored, chosen)] = some
        given = replace(stored, states=states)
        try:
            found = _read(task_model, given, chosen, reader, pad_id, trunk)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            continue
        if all(_close(one, two) for one, two in zip(found, wanted, strict=True)):
            return first_only
    return None


def _close(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    return bool((found - wanted).abs().max() <= TOLERANCE * wanted.abs().max().clamp_min(1.0))


@torch.no_grad()
def _read(
    task_model: Any,
    rows: EncodedRows,
    chosen: np.ndarray,
    reader: UnitReader,
    pad_id: int,
    trunk: Trunk | None,
) -> tuple[Tensor, Tensor]:
    """Logits and features of a few rows, through the whole model or from their states."""
    width = int(rows.lengths[chosen].max())
    device = next(task_model.parameters()).device
    batch: dict[str, Any] = to_tensors(
        collate([(rows, chosen)], width=width, pad_id=pad_id), device
    )
    batch.update(source_units=len(batch["labels"]))
    for side in ("source", "target"):
        batch.update({f"{side}_count": 1.0, f"{side}_labelled": 1.0})
    with without_dropout(task_model):
        if trunk is None:
            output = reader.read(task_model, batch)[0]
        else:
            with trunk.skipped(restored(batch["trunk_states"])):
                output = reader.read(task_model, batch)[0]
    return output.logits.float(), output.features.float()


def _token_indices(rows: EncodedRows, chosen: np.ndarray) -> np.ndarray:
    spans = [np.arange(rows.offsets[row], rows.offsets[row + 1]) for row in chosen]
    return np.concatenate(spans)


def _subset(rows: EncodedRows, chosen: np.ndarray) -> EncodedRows:
    """Token ids of a few rows; their units are left out."""
    lengths = rows.lengths[chosen]
    return EncodedRows(
        ids=rows.ids[_token_indices(rows, chosen)],
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=np.zeros(0, dtype=np.int64),
        unit_offsets=np.zeros(len(chosen) + 1, dtype=np.int64),
    )


def _weights_key(task_model: Any, depth: int) -> str:
    """A digest of the encoder's configuration and of the weights below the cut."""
    from nlp_adapt.modeling.architectures import modules_below

    config = plain_model(task_model).config
    skipped = ("_name_or_path", "id2label", "label2id", "architectures", "transformers_version")
    values = {key: value for key, value in config.to_dict().items() if key not in skipped}
    arrays: list[str | np.ndarray] = [json.dumps(values, sort_keys=True, default=str), str(depth)]
    module: nn.Module
    for module in modules_below(task_model, depth):
        for name, value in module.state_dict().items():
            arrays += [name, value.detach().float().cpu().numpy()]
    return cache_key(*arrays)
