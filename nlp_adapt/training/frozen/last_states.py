"""The last hidden states of rows: computed once without dropout, kept on disk, read again.

A file of states is complete when its header, a JSON file with a checksum, is there: it is written
last. A file that does not match its header is removed, as if it had never been made.
"""

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlp_adapt.data.batches.encoded import EncodedRows, budget_batches
from nlp_adapt.files import sha256
from nlp_adapt.modeling.architectures import encoder_layers, modules_below, plain_model
from nlp_adapt.modeling.cpu import autocast
from nlp_adapt.modeling.trunk import Trunk
from nlp_adapt.modeling.units import without_dropout

FORMAT = 1
TOKENS_PER_BATCH = 4096
_logger = logging.getLogger(__name__)


class UnsuitableError(Exception):
    """Why a stage has no cached states."""


@dataclass(frozen=True)
class LastStates:
    """The last states of some rows, of every token or of each row's first.

    Attributes:
        precision: Number format of the forward pass; after `bf16` they are kept in bfloat16.
    """

    trunk: Trunk
    rows: EncodedRows
    first_only: bool
    pad_id: int
    precision: str = "fp32"

    @cached_property
    def stored(self) -> EncodedRows:
        """The rows, whole or cut to their first token; batches hold the same ones either way."""
        rows = self.rows
        if not self.first_only:
            return rows
        return replace(
            rows,
            ids=rows.ids[rows.offsets[:-1]],
            offsets=np.arange(len(rows) + 1),
            planned_lengths=rows.lengths,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens that are kept, and the size of a state."""
        return len(self.stored.ids), self.trunk.size

    @property
    def dtype(self) -> str:
        """NumPy type of the states: `float32`, or `uint16` for the bits of bfloat16."""
        return "uint16" if self.precision == "bf16" else "float32"

    def fill(self, array: np.ndarray) -> None:
        """Compute the states into an array of this shape and type."""
        rows, device = self.rows, self.trunk.device
        batches = budget_batches(
            rows, device, tokens=TOKENS_PER_BATCH, most_rows=256, pad_id=self.pad_id
        )
        with without_dropout(self.trunk.encoder), autocast(device, self.precision):
            for chosen, batch in batches:
                inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
                found = self.trunk.states(inputs)
                if self.dtype == "uint16":
                    states = found.to(torch.bfloat16).cpu().view(torch.uint16).numpy()
                else:
                    states = found.float().cpu().numpy()
                for place, row in enumerate(chosen):
                    start, stop = self.stored.offsets[row : row + 2]
                    array[start:stop] = states[place, : stop - start]

    def path(self, folder: Path, weights: str) -> Path:
        """Their file in `folder`, named by all that they depend on."""
        rows = self.rows  # the states of first tokens, too, are those of whole rows
        key = digest(weights, self.dtype, str(self.first_only), rows.ids, rows.offsets)
        return folder / f"{key}.states"

    def read(self, path: Path) -> np.ndarray | None:
        """What a file holds, memory-mapped and read-only; None if it is not there or damaged."""
        header = path.with_suffix(".json")
        if not header.is_file():
            return None
        try:
            known = json.loads(header.read_text(encoding="utf-8"))
            if known == {**self._header, "sha256": sha256(path)}:
                return np.memmap(path, dtype=self.dtype, mode="r", shape=self.shape)
        except (OSError, ValueError):
            pass
        _logger.warning("%s: damaged (its checksum differs), so it is made anew.", path)
        header.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return None

    def make(self, path: Path) -> np.ndarray:
        """Compute them into a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.stem}-{uuid.uuid4().hex}")  # two runs may do so at once
        try:
            array = np.memmap(staged, dtype=self.dtype, mode="w+", shape=self.shape)
            self.fill(array)
            array.flush()
            del array
            header = {**self._header, "sha256": sha256(staged)}
            os.replace(staged, path)
            staged.write_text(json.dumps(header), encoding="utf-8")
            os.replace(staged, path.with_suffix(".json"))
        finally:
            staged.unlink(missing_ok=True)
        return np.memmap(path, dtype=self.dtype, mode="r", shape=self.shape)

    @property
    def _header(self) -> dict[str, Any]:
        return {"format": FORMAT, "shape": list(self.shape), "dtype": self.dtype}


def with_states(
    parts: Mapping[str, LastStates], folder: Path, weights: str
) -> dict[str, EncodedRows]:
    """The rows of each side with their states, read from `folder` or computed into it.

    Raises:
        UnsuitableError: The disk is too full, or cannot be written.
    """
    paths = {side: part.path(folder, weights) for side, part in parts.items()}
    found = {side: part.read(paths[side]) for side, part in parts.items()}
    missing = [side for side, states in found.items() if states is None]
    sizes = [np.prod(parts[side].shape) * np.dtype(parts[side].dtype).itemsize for side in missing]
    if not has_room(folder, sum(sizes)):
        gib = sum(sizes) / 2**30
        raise UnsuitableError(f"it would take {gib:.1f} GiB, more than half of the free disk")
    try:
        for side in missing:
            found[side] = parts[side].make(paths[side])
    except OSError as error:
        reason = error.strerror or error
        raise UnsuitableError(f"{folder} cannot be written ({reason})") from error
    return {side: replace(part.stored, states=found[side]) for side, part in parts.items()}


def has_room(folder: Path, needed: float) -> bool:
    """Whether `needed` bytes are at most half of what is free on the disk of `folder`."""
    place = folder
    while not place.exists():
        place = place.parent
    return needed <= shutil.disk_usage(place).free // 2


def weights_key(task_model: Any) -> str:
    """A digest of the encoder's configuration and weights, a pooler on top left out."""
    config = plain_model(task_model).config
    skipped = ("_name_or_path", "id2label", "label2id", "architectures", "transformers_version")
    values = {key: value for key, value in config.to_dict().items() if key not in skipped}
    depth = len(encoder_layers(task_model))
    parts: list[str | np.ndarray] = [json.dumps(values, sort_keys=True, default=str), str(depth)]
    for module in modules_below(task_model, depth):
        for name, value in module.state_dict().items():
            parts += [name, value.detach().float().cpu().numpy()]
    return digest(*parts)


def same_encoder(one: Any, other: Any) -> bool:
    """Whether two task models have the same weights below their heads, a pooler left out."""
    depth = len(encoder_layers(other))
    mine, theirs = (
        {
            (number, name): value
            for number, part in enumerate(modules_below(model, depth))
            for name, value in part.state_dict().items()
        }
        for model in (one, other)
    )
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def digest(*parts: str | np.ndarray) -> str:
    """SHA-256 over texts and arrays, as hex."""
    found = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        found.update(str(len(raw)).encode() + b":")
        found.update(np.ascontiguousarray(raw).data if isinstance(raw, np.ndarray) else raw)
    return found.hexdigest()
