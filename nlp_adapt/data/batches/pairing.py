"""Source and target rows into paired batches: seeded, length-aware, resumable.

Each domain is an endless stream of reshuffled passes over its rows. A step consumes `global_batch`
rows of each side, which several domains share equally (see `mixing`), so that no row repeats or is
dropped within a pass, however often a smaller domain starts over. Which rows a step holds is a pure
function of the seed and the step: resuming needs nothing but the step number, and every process
computes the same plan and takes its own share of it.

Within a window of steps both sides are sorted by length and dealt out side by side, so that a batch
holds rows of like length from both domains; the order of batches within the window is shuffled.
Where one domain's texts are longer throughout, no pairing of rows avoids padding: on a CPU the two
halves of a batch, the source's rows and the others, have widths of their own (see `modeling.cpu`).
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows, choose_widths, collate, edges, width_for
from nlp_adapt.data.batches.mixing import (
    SideStream,
    balance,
    is_apart,
    salt_of,
    several_domains,
    side_of,
)

# Steps that are planned together: enough for batches of like length, and few enough that the plan
# is quick to make and no epoch is sorted from end to end.
WINDOW_STEPS = 128


class PairedBatches:
    """The batches of a stage.

    Args:
        sides: The rows of each side that the stage reads, the source first: `source` and `target`,
            or one of them, labelled target rows, `few_shot`, where there are some, and rows of
            auxiliary tasks, `auxiliary/NAME`.
        batch_size: Rows per side in one micro-batch of one process.
        micro_batches: Micro-batches per optimizer step and process.
        portions: Rows of a side in a step, as a share of a whole batch, where it is not 1.
        passed: Steps of earlier stages that have read the source: it goes on with their pass.
        source_seed: Seed of the source's order, which such stages share; default: `seed`.
        divide: Whether a batch may go through the encoder in two passes of different width.
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
        portions: Mapping[str, float] | None = None,
        passed: int = 0,
        source_seed: int | None = None,
        divide: bool = False,
    ) -> None:
        self.sides = sides
        self.total_steps = total_steps
        self.batch_size = batch_size
        self.shares = micro_batches * processes
        self.mine = [process + processes * micro for micro in range(micro_batches)]
        self.global_batch = batch_size * self.shares
        self.pad_id = pad_id
        self.seed = seed
        self.divide = divide and not any(rows.states is not None for rows in sides.values())
        self.widths = choose_widths(np.concatenate([rows.lengths for rows in sides.values()]))
        self._streams = {
            name: SideStream(rows, self._rows_per_step(name, portions or {}), seed, salt_of(name))
            for name, rows in sides.items()
        }
        if "source" in sides and source_seed is not None:
            own = self.global_batch, source_seed, salt_of("source"), passed
            self._streams["source"] = SideStream(sides["source"], *own)
        self._several = several_domains(sides)
        # Windows of equal length: a short last one would be sorted less well.
        windows = max(1, -(-total_steps // WINDOW_STEPS))
        self._edges = np.linspace(0, total_steps, windows + 1).astype(np.int64)
        self._plan: tuple[int, dict[str, np.ndarray]] | None = None
        self._labelled_cache: dict[str, np.ndarray] = {}

    def _rows_per_step(self, name: str, portions: Mapping[str, float]) -> int:
        """Rows of a side in a step, over all processes and micro-batches; at least one."""
        return max(1, round(portions.get(name, 1.0) * self.global_batch))

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
        """The order in which a window's batches, sorted by length, are used.

        `SideStream` says why the first step and the middle of the first window have the longest.
        """
        steps = int(self._edges[window + 1] - self._edges[window])
        # Shuffled: left in order, every window would train on ever longer texts.
        order = np.random.default_rng([self.seed, 3, window]).permutation(steps)
        if window == 0:
            _put(order, rank=steps - 1, step=0)
            if steps > 1:
                _put(order, rank=steps - 2, step=steps // 2)
        return order

    def step(self, step: int) -> list[dict[str, Any]]:
        """This process's collated micro-batches of a step.

        Beside what `collate` gives, each has the step's denominators, how many of its units are of
        the source, and `passes`: rows and width of each part that goes through the encoder. Rows
        that are on neither side are batches of their own, under keys such as
        `auxiliary/NAME/input_ids`.
        """
        rows = self.rows_of(step)
        every_width = {
            name: width_for(int(self.sides[name].lengths[chosen].max()), self.widths)
            for name, chosen in rows.items()
        }
        widths = {name: width for name, width in every_width.items() if not is_apart(name)}
        width = max(widths.values())
        counts = self._denominators(rows)
        factors = {
            f"{side}_balance": balance(self.sides, rows, side, domains)
            for side, domains in self._several.items()
        }
        batches = []
        for share in self.mine:
            # Rows are sorted by length: each share takes every n-th, so that all are alike.
            mine = {name: rows[name][share :: self.shares] for name in widths}
            parts = [(self.sides[name], chosen) for name, chosen in mine.items()]
            batch: dict[str, Any] = dict(collate(parts, width=width, pad_id=self.pad_id))
            batch["source_units"] = 0
            if "source" in mine:
                batch["source_units"] = int(self.sides["source"].unit_counts[mine["source"]].sum())
            batch["passes"] = self._passes(mine, widths)
            batch |= counts | factors
            for name in filter(is_apart, rows):
                own = [(self.sides[name], rows[name][share :: self.shares])]
                apart = collate(own, width=every_width[name], pad_id=self.pad_id)
                batch.update({f"{name}/{key}": value for key, value in apart.items()})
            batches.append(batch)
        return batches

    def _passes(
        self, chosen: Mapping[str, np.ndarray], widths: Mapping[str, int]
    ) -> tuple[tuple[int, int], ...]:
        """Rows and width of each part of a batch: source and others, or both together.

        Parts of equal width are parts too: every shape has kernels of its own, which take time to
        compile and megabytes to keep, and shapes that are rare come late.
        """
        others = [name for name in chosen if name != "source"]
        rows = sum(map(len, chosen.values()))
        if not self.divide or not others or "source" not in chosen:
            return ((rows, max(widths.values())),)
        source = len(chosen["source"])
        widest = max(widths[name] for name in others)
        return ((source, widths["source"]), (rows - source, widest))

    def _plan_window(self, window: int) -> dict[str, np.ndarray]:
        first, last = int(self._edges[window]), int(self._edges[window + 1])
        order = self.order_of(window)
        return {name: stream.plan(first, last, order) for name, stream in self._streams.items()}

    def _denominators(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """Mean units and labelled units per micro-batch over the whole step, for each side.

        Every process knows the whole plan, so that global denominators need no communication.
        """
        units, labelled = (defaultdict(int, source=0, target=0) for _ in range(2))
        for name, chosen in rows.items():
            units[side_of(name)] += int(self.sides[name].unit_counts[chosen].sum())
            labelled[side_of(name)] += int(self._labelled(name)[chosen].sum())
        return {
            **{f"{side}_count": count / self.shares for side, count in units.items()},
            **{f"{side}_labelled": count / self.shares for side, count in labelled.items()},
        }

    def _labelled(self, name: str) -> np.ndarray:
        """`[rows]` labelled units of each row of a side."""
        if name not in self._labelled_cache:
            side = self.sides[name]
            known = edges(side.labels >= 0)
            self._labelled_cache[name] = np.diff(known[side.unit_offsets])
        return self._labelled_cache[name]


def _put(order: np.ndarray, *, rank: int, step: int) -> None:
    """Give `step` the batch of `rank`, in exchange for its own."""
    now = int(np.flatnonzero(order == rank)[0])
    order[[step, now]] = order[[now, step]]
