"""Labels for texts from a trained model: PyTorch in both formats, and ONNX files, beside the ceiling."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from speed.serving import graph_logits

from cost.ceiling import Ceiling, Clock
from nlp_adapt import AdaptationConfig, AdaptationTrainer, load_domain
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.errors import ConfigError
from nlp_adapt.prediction.export import OnnxModel, export_onnx
from nlp_adapt.prediction.predictor import predict_logits

CPU = torch.device("cpu")
Call = Callable[[EncodedRows], np.ndarray]


def measure_prediction(settings: dict[str, Any]) -> dict[str, Any]:
    """Texts a second, labels and accuracy of each way, and what share of its ceiling PyTorch reaches.

    Args:
        settings: `model`, `source`, `target`, `seed`, `train_steps`, `texts`, `rounds`, `max_length`
            and sizes of the `ceiling`.
    """
    torch.set_num_threads(1)
    with quiet_libraries(debug=False), TemporaryDirectory() as name:
        folder = Path(name)
        trainer = trained(settings, folder)
        task, tokenizer = trainer.task, trainer.processing_class
        domain = trainer.context.inputs.targets[0].with_labels(task.label_names)
        dataset = domain.test.select(range(min(settings["texts"], len(domain.test))))
        rows = task.encode(dataset, tokenizer, settings["max_length"])
        model, pad_id = trainer.model.to(CPU).eval(), tokenizer.pad_token_id or 0
        calls: dict[str, Call] = {
            "PyTorch, fp32": lambda part: predict_logits(model, part, pad_id=pad_id),
            "PyTorch, bf16": lambda part: predict_logits(
                model, part, pad_id=pad_id, precision="bf16"
            ),
        }
        graphs, missing = exported(trainer, folder, pad_id)
        calls |= graphs
        kept = settings.get("ceiling", {})
        ceilings = {kind: Ceiling(CPU, kind, **kept) for kind in ("fp32", "bf16")}
        ways, reached = compared(
            calls, ceilings, rows, np.asarray(dataset["label"]), settings["rounds"]
        )
        return {
            "ways": ways, "ceilings": reached,
            "flops_a_text": forward_flops(model, rows),
            "texts": len(rows), "tokens": int(rows.offsets[-1]), "missing": missing,
            "train_steps": settings["train_steps"],
        }  # fmt: skip


def trained(settings: dict[str, Any], folder: Path) -> AdaptationTrainer:
    """A model that has learnt a little from the source."""
    config = AdaptationConfig(
        method="source_only", output_dir=str(folder / "run"), max_steps=settings["train_steps"],
        max_length=settings["max_length"], per_device_train_batch_size=16, seed=settings["seed"],
        data_doctor="off", disable_tqdm=True, learning_rate=3e-4, eval_strategy="no",
        load_best_model_at_end=False, max_source_rows=1000,
    )  # fmt: skip
    source, target = (load_domain(settings[name]) for name in ("source", "target"))
    trainer = AdaptationTrainer(settings["model"], config, source, target)
    trainer.train()
    return trainer


def exported(
    trainer: AdaptationTrainer, folder: Path, pad_id: int
) -> tuple[dict[str, Call], str | None]:
    """Calls of ONNX files, or why there are none."""
    saved = folder / "saved"
    trainer.save_model(str(saved))
    found: dict[str, Call] = {}
    try:
        for name, int8 in (("ONNX, fp32", False), ("ONNX, int8", True)):
            file = export_onnx(saved, folder / f"onnx-{int8}", int8=int8)["file"]
            graph = OnnxModel(Path(file).parent, threads=1)
            found[name] = lambda part, graph=graph: graph_logits(graph, part, pad_id)
    except ConfigError as error:
        return {}, str(error)
    return found, None


def compared(
    calls: dict[str, Call],
    ceilings: dict[str, Ceiling],
    rows: EncodedRows,
    labels: np.ndarray,
    rounds: int,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Each way in turn, the first one the yardstick of labels, and the ceilings of the same rounds."""
    logits = {name: call(rows) for name, call in calls.items()}  # and shapes are compiled
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    reached: dict[str, list[float]] = {kind: [] for kind in ceilings}
    for _ in range(rounds):
        for kind, ceiling in ceilings.items():
            reached[kind].append(ceiling.measure()["flops"])
        for name, call in calls.items():
            clock = Clock(CPU)
            call(rows)
            seconds[name].append(clock.seconds())
    wanted = next(iter(logits.values())).argmax(-1)
    ways = {
        name: {
            "texts_a_second": len(rows) / statistics.median(seconds[name]),
            "same_label": float((found.argmax(-1) == wanted).mean()),
            "accuracy": float((found.argmax(-1) == labels).mean()),
        }
        for name, found in logits.items()
    }
    return ways, {kind: statistics.median(found) for kind, found in reached.items()}


def forward_flops(model: Any, rows: EncodedRows) -> float:
    """Operations of a text on average, in an encoder of BERT's kind."""
    wide, layers = model.config.hidden_size, model.config.num_hidden_layers
    inner = getattr(model.config, "intermediate_size", 4 * wide)
    lengths = rows.lengths.astype(float)
    weights = 2.0 * (4 * wide * wide + 2 * wide * inner) * lengths
    return float(layers * (weights + 4.0 * wide * lengths**2).mean())
