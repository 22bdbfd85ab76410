"""Running a step from the black box again, to see where its numbers stop being finite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlp_adapt.data.batches.encoded import to_tensors
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.data.batches.streamed import StreamedBatches
from nlp_adapt.errors import RunError
from nlp_adapt.methods import METHODS
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.precision import autocast
from nlp_adapt.recipe import load_recipe
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.encoder_modes import dropout_mode, prepare_encoder
from nlp_adapt.training.inputs.stream import training_stream
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.saving.checkpoint import Checkpoint, CheckpointFolder
from nlp_adapt.training.saving.ledger import tokens_hash
from nlp_adapt.training.saving.random_state import load_random, of_process
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.stages import StagedTraining

MOST_NAMED = 10


def replay(run: str | Path, step: str | None = None) -> dict[str, Any]:
    """Run a skipped step again with its weights, rows and random states.

    Args:
        run: A run folder with a recipe that names its model and data.
        step: Name of the dump under `black_box/`; default: the newest.

    Returns:
        `terms` by name, `parameters` whose gradient is not finite, `rows` whose own outputs are
        not finite (with their text), and `finite`, whether the step is fine this time.

    Raises:
        RunError: If there is no such dump, or the data has changed since.
    """
    folder = RunFolder(run)
    dump = _find(folder, step)
    trainer = _trainer(folder)
    stages = trainer.stages
    rows = trainer.data.with_copies
    if dump.position["model"] == "source_only":
        stages = METHODS["source_only"].stages(trainer.args)
        rows = trainer.data.without_few_shot()
    accelerator = make_accelerator(trainer.args)
    training = StagedTraining(
        name=dump.position["model"],
        title="replay",
        accelerator=accelerator,
        config=trainer.args,
        task_model=trainer.fresh_model().to(accelerator.device),
        tokenizer=trainer.processing_class,
        rows=rows,
        outside=trainer.task.outside,
        log=RunLog(None, accelerator, 1, show_bar=False),
        checkpoints=None,
        stream=training_stream(trainer),
        auxiliary=[task.spec for task in trainer.domains.auxiliary.values()],
    )
    stage = stages[dump.position["stage"]]
    model = training.build_stage(stage).to(accelerator.device)
    prepare_encoder(model.task_model, training.config, stage.objectives, accelerator.device)
    model.load_state_dict(dump.tensors["model"])
    model.cached = training.inputs.cached_trunk(model, stage)  # as the run read its rows
    model.train()
    found = _run_again(model, training, dump)
    return {
        "dump": dump.path.name,
        "model": dump.position["model"],
        "stage": dump.position["stage"] + 1,
        "step": dump.position["step"],
        "recorded": dump.position["terms"],
        **found,
    }


def _find(folder: RunFolder, step: str | None) -> Checkpoint:
    names = sorted(path.name for path in folder.black_box.glob("step-*"))
    if step is not None and step not in names:
        listed = f"it has {', '.join(names)}" if names else "it holds none"
        raise RunError(f"{folder.black_box}: has no '{step}' ({listed}).")
    dumps = CheckpointFolder(folder.black_box, len(names) or 1)
    dump, problems = dumps.latest() if step is None else dumps.read(step)
    if dump is None:
        raise RunError(
            " ".join(problems)
            or f"{folder.black_box}: is empty; only steps that were not finite are kept there."
        )
    return dump


def _trainer(folder: RunFolder) -> Any:
    from nlp_adapt.training.trainer import AdaptationTrainer

    if not folder.recipe.is_file():
        raise RunError(f"{folder.recipe}: missing, so the run's data cannot be found again.")
    recipe = load_recipe(folder.recipe)
    if not recipe.source and not recipe.sources:
        raise RunError(
            f"{folder.recipe}: names no source; only runs from a recipe can be replayed."
        )
    # `resume`: the folder holds a run, and that is as it should be.
    return AdaptationTrainer.from_recipe(
        replace(recipe, output_dir=str(folder.path), resume=True, overwrite=False, report_to=[])
    )


def _run_again(model: Any, training: StagedTraining, dump: Checkpoint) -> dict[str, Any]:
    position = dump.position
    device = training.accelerator.device
    progress = Progress(position["step"], position["total_steps"])
    number = position["attempt"] % position["total_steps"]
    terms: dict[str, Tensor] = {}
    seen: list[dict[str, Any]] = []
    for process in range(position["processes"]):
        load_random(of_process(dump.tensors["random"], process))
        batches = training.inputs.paired_batches(
            model,
            position["total_steps"],
            training.config.seed + position["stage"],
            share=(process, position["processes"]),
        )
        _find_rows(batches, number, dump)
        for batch in batches.step(number):
            tensors = {k: v for k, v in batch.items() if hasattr(v, "dtype")}
            with dropout_mode(training.config, device):  # the same numbers drop the same values
                with autocast(device, position["precision"]):
                    found = model({**batch, **to_tensors(tensors, device)}, progress)
                (found["loss"] / batches.shares).backward()
            for name, value in found.items():
                terms[name] = terms.get(name, 0.0) + value.detach() / batches.shares
            seen.append(batch)
    # After the step, whose random numbers these passes would take.
    rows = [
        row for batch in seen for row in _broken_rows(model, training, batch, position["precision"])
    ]
    parameters = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all())
    ]
    weights = [name for name, value in model.state_dict().items() if not _is_finite(value)]
    bad = [name for name, value in terms.items() if not _is_finite(value)]
    return {
        "terms": {name: repr(float(value)) for name, value in terms.items()},
        "non_finite_terms": bad,
        "weights": weights[:MOST_NAMED],
        "parameters": parameters[:MOST_NAMED],
        "rows": rows[:MOST_NAMED],
        "finite": not (bad or parameters or weights),
    }


def _find_rows(batches: PairedBatches, number: int, dump: Checkpoint) -> None:
    """Go to where a streamed target stood, and make sure that the step holds the same rows."""
    position = dump.position
    if isinstance(batches, StreamedBatches) and position["stream"] is not None:
        batches.seek(position["stream"])
    now = {side: np.asarray(rows).tolist() for side, rows in batches.row_ids(number).items()}
    if now != position["rows"] or tokens_hash(batches, number) != position["tokens"]:
        raise RunError(
            f"{dump.path}: the step no longer holds the same rows; put the data and the recipe "
            "back to what they were."
        )


@torch.no_grad()
def _broken_rows(
    model: Any, training: StagedTraining, batch: dict[str, Any], precision: str
) -> list[dict[str, Any]]:
    """Rows whose logits or features are not finite on a plain pass."""
    device = training.accelerator.device
    tensors = {k: v for k, v in batch.items() if hasattr(v, "dtype")}
    with autocast(device, precision):
        sides = model.reader.read(model.task_model, {**batch, **to_tensors(tensors, device)})
    broken = []
    for name, side in zip(("source", "target"), sides, strict=True):
        good = side.logits.isfinite().all(-1) & side.features.isfinite().all(-1)
        for row in sorted(set(side.rows[~good].tolist())):
            ids = batch["input_ids"][row][batch["attention_mask"][row] > 0]
            text = training.tokenizer.decode(ids, skip_special_tokens=True)
            broken.append({"side": name, "text": text})
    return broken


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())
