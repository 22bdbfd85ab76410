"""What objectives are told of a run when they are built."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from safetensors.torch import load_model

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.mixing import domain_ids, label_counts
from nlp_adapt.modeling.cpu import prepare_training
from nlp_adapt.modeling.lora import has_adapters
from nlp_adapt.modeling.pretrained import load_task_model
from nlp_adapt.modeling.suitability import fit_to_tokenizer
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Setup
from nlp_adapt.training.context import RunContext


def setup_for(
    context: RunContext,
    task_model: Any,
    reader: UnitReader,
    rows: Mapping[str, EncodedRows],
    *,
    has_twin: bool = False,
) -> Setup:
    """The setup of the objectives of a stage that trains `task_model` on `rows`.

    Args:
        has_twin: Whether the run's source-only model is finished and saved.
    """
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
        twin=partial(saved_twin, context) if has_twin else None,
        tokenizer=context.tokenizer,
        defaults=context.config.to_dict(),
        token_level=context.task.outside is not None,
        outside=context.task.outside,
        tokens={side: (part.ids, part.offsets) for side, part in rows.items()},
        auxiliary=tuple(context.inputs.auxiliary_specs),
        target_shares=None if told is None else torch.from_numpy(told).float(),
    )


def saved_twin(context: RunContext) -> Any:
    """The finished source-only model, read from the run's folder.

    Not the one in memory, which a resumed run has no longer and which may still have its adapters
    apart: so a run that was interrupted learns from the same bits. A model that was given as an object
    may be of a class of the user's own: another object of that class takes the weights.
    """
    task, config, start = context.task, context.config, context.start
    folder, names = context.folder.source_only, list(task.label_names)
    usual = partial(
        load_task_model, str(folder), task.auto_class, names, config.attn_implementation
    )
    if start.loaded is None or has_adapters(start.loaded):
        twin = usual()
    else:
        with torch.random.fork_rng():  # a new head is drawn, and then replaced
            twin = start.fresh(replace(config, lora=False), task)
            fit_to_tokenizer(twin, context.tokenizer, config.domain_features)
        if (whole := folder / "model.safetensors").is_file():
            load_model(twin, whole)
        else:  # adapters, or weights in several files, which a model of the usual class joins
            twin.load_state_dict(usual().state_dict())
    prepare_training(twin, config, context.accelerator.device)
    return twin
