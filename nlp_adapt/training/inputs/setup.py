"""What objectives are told of a run when they are built."""

from collections.abc import Mapping
from typing import Any

import torch

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.mixing import domain_ids, label_counts
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Setup
from nlp_adapt.training.context import RunContext


def setup_for(
    context: RunContext, task_model: Any, reader: UnitReader, rows: Mapping[str, EncodedRows]
) -> Setup:
    """The setup of the objectives of a stage that trains `task_model` on `rows`."""
    num_labels = task_model.config.num_labels
    sources = domain_ids(rows["source"])
    targets = domain_ids(rows["target"]) if "target" in rows else sources[:1]
    counts = label_counts(rows["source"], num_labels)
    told = context.target_shares
    return Setup(
        features=reader.width(task_model),
        num_labels=num_labels,
        num_sources=len(sources),
        num_targets=len(targets),
        label_counts=torch.from_numpy(counts.sum(0)),
        source_label_counts=torch.from_numpy(counts),
        task_model=task_model,
        tokenizer=context.tokenizer,
        defaults=context.config.to_dict(),
        token_level=context.task.outside is not None,
        outside=context.task.outside,
        tokens={side: (part.ids, part.offsets) for side, part in rows.items()},
        auxiliary=tuple(context.inputs.auxiliary_specs),
        target_shares=None if told is None else torch.from_numpy(told).float(),
    )
