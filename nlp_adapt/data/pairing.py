"""Source and target rows into paired batches: seeded, length-aware, resumable.

Each domain is an endless stream of reshuffled passes over its rows. Step `s` consumes exactly
`global_batch` rows of each stream, so that no row repeats or is dropped within a pass, however
often the smaller domain starts over. Which rows a step holds is a pure function of the seed and the
step: resuming needs nothing but the step number, and every process computes the same plan and takes
its own share of it.

Within a window of steps both sides are sorted by length and dealt out side by side, so that a batch
holds rows of like length from both domains; the order of batches within the window is shuffled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nlp_adapt.data.preprocessing import EncodedRows, choose_widths, collate, width_for

WINDOW_STEPS = 32


class RowStream:
    """An endless sequence of row indices: one random permutation after another."""

    def __init__(self, rows: int, seed: int, salt: int) -> None:
        if rows < 1:
            raise ValueError("a stream needs at least one row")
        self.rows = rows
        self._seed = (seed, salt)
        self._cached: tuple[int, np.ndarray] | None = None

    def take(self, start: int, stop: int) -> np.ndarray:
        """The row indices at stream positions `start` to `stop - 1`."""
        taken = []
        while start < stop:
            epoch, offset = divmod(start, self.rows)
            size = min(stop - start, self.rows - offset)
            taken.append(self._permutation(epoch)[offset : offset + size])
            start += size
        return np.concatenate(taken)

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._cached is None or self._cached[0] != epoch:
            generator = np.random.default_rng([*self._seed, epoch])
            self._cached = (epoch, generator.permutation(self.rows))
        return self._cached[1]


class PairedBatches:
    """The batches of a stage.

    Args:
        sides: The rows of each side that the stage reads: source and target, or one of them.
        total_steps: Optimizer steps of the stage.
        batch_size: Rows per side in one micro-batch of one process.
        micro_batches: Micro-batches per optimizer step and process.
        processes: Number of processes.
        process: This process's index.
        seed: Seed of the row order.
        pad_id: Token id of padding.
    """

    def __init__(
        self,
        sides: dict[str, EncodedRows],
        *,
        total_steps: int,
        batch_size: int,
        pad_id: int,
        seed: int,
        micro_batches: int = 1,
        processes: int = 1,
        process: int = 0,
    ) -> None:
        self.sides = sides
        self.total_steps = total_steps
        self.batch_size = batch_size
        self.shares = micro_batches * processes
        self.mine = [process + processes * micro for micro in range(micro_batches)]
        self.global_batch = batch_size * self.shares
        self.pad_id = pad_id
        self.seed = seed
        self.widths = choose_widths(np.concatenate([rows.lengths for rows in sides.values()]))
        self._streams = {
            name: RowStream(len(rows), seed, salt={"source": 1, "target": 2}[name])
            for name, rows in sides.items()
        }
        windows = max(1, -(-total_steps // WINDOW_STEPS))
        self._edges = np.linspace(0, total_steps, windows + 1).astype(np.int64)
        self._plan: tuple[int, dict[str, np.ndarray]] | None = None
        self._labelled_cache: dict[str, np.ndarray] = {}

    def rows_of(self, step: int) -> dict[str, np.ndarray]:
        """The rows of the whole step, all processes together: `[global batch]` per side."""
        window = self.window_of(step)
        if self._plan is None or self._plan[0] != window:
            self._plan = (window, self._plan_window(window))
        local = step - int(self._edges[window])
        return {name: plan[local] for name, plan in self._plan[1].items()}

    def row_ids(self, step: int) -> dict[str, np.ndarray]:
        """What tells the rows of a step from all others: `[global batch]` per side."""
        return self.rows_of(step)

    def window_of(self, step: int) -> int:
        """The window of steps that are planned together with `step`."""
        return int(np.searchsorted(self._edges, step, side="right")) - 1

    def order_of(self, window: int) -> np.ndarray:
        """The order in which a window's batches, sorted by length, are used."""
        steps = int(self._edges[window + 1] - self._edges[window])
        return np.random.default_rng([self.seed, 3, window]).permutation(steps)

    def step(self, step: int) -> list[dict[str, Any]]:
        """This process's collated micro-batches of a step, with the step's denominators."""
        rows = self.rows_of(step)
        longest = max(int(self.sides[name].lengths[chosen].max()) for name, chosen in rows.items())
        width = width_for(longest, self.widths)
        counts = self._denominators(rows)
        batches = []
        for share in self.mine:
            parts = [
                (self.sides[name], chosen[share :: self.shares]) for name, chosen in rows.items()
            ]
            batch: dict[str, Any] = dict(collate(parts, width=width, pad_id=self.pad_id))
            source = "source" in rows
            first = (
                self.sides["source"].unit_counts[rows["source"][share :: self.shares]]
                if source
                else []
            )
            batch["source_units"] = int(np.sum(first))
            batch.update(counts)
            batches.append(batch)
        return batches

    def _plan_window(self, window: int) -> dict[str, np.ndarray]:
        first, last = int(self._edges[window]), int(self._edges[window + 1])
        steps = last - first
        order = self.order_of(window)
        plan = {}
        for name, stream in self._streams.items():
            rows = stream.take(first * self.global_batch, last * self.global_batch)
            rows = rows[np.argsort(self.sides[name].lengths[rows], kind="stable")]
            plan[name] = rows.reshape(steps, self.global_batch)[order]
        return plan

    def _denominators(self, rows: dict[str, np.ndarray]) -> dict[str, float]:
        """Mean units and labelled units per micro-batch over the whole step, for each side.

        Every process knows the whole plan, so that global denominators need no communication.
        """
        counts = {}
        for name in ("source", "target"):
            chosen = rows.get(name)
            units = labelled = 0
            if chosen is not None:
                side = self.sides[name]
                units = int(side.unit_counts[chosen].sum())
                labelled = int(self._labelled(name)[chosen].sum())
            counts[f"{name}_count"] = units / self.shares
            counts[f"{name}_labelled"] = labelled / self.shares
        return counts

    def _labelled(self, name: str) -> np.ndarray:
        """`[rows]` labelled units of each row of a side."""
        if name not in self._labelled_cache:
            side = self.sides[name]
            known = np.concatenate([[0], np.cumsum(side.labels >= 0)])
            self._labelled_cache[name] = (
                known[side.unit_offsets[1:]] - known[side.unit_offsets[:-1]]
            )
        return self._labelled_cache[name]
