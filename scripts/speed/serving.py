"""Labels for many texts: `transformers.pipeline`, `nlp-adapt predict`, and ONNX files."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlp_adapt.cli import main as nlp_adapt_command
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.prediction.export import OnnxModel, export_onnx
from nlp_adapt.prediction.predictor import Predictor, predict_logits, prediction_batches
from speed.bench import Bench
from speed.page import Goal, Section
from speed.timing import in_turns, quarters, ratio, ratios, spread, table

LONG_ENOUGH = 100  # texts to warm up with


def prediction(bench: Bench) -> Section:
    """Labels for many texts, against `transformers.pipeline` as it comes."""
    from transformers import pipeline

    folder, texts = saved_model(bench), some_texts(bench)
    model, tokenizer = bench.trainer.fresh_model().eval(), bench.trainer.processing_class
    ours = Predictor(
        copy.deepcopy(model).to(bench.device),
        tokenizer,
        bench.trainer.task,
        precision=bench.precision,
    )
    theirs = pipeline("text-classification", model=str(folder), device=bench.device)
    command = "`nlp-adapt predict`, from file to file"
    calls: dict[str, Callable[[list[str]], Any]] = {
        "`pipeline(...)`": lambda part: theirs(part, truncation=True),
        f"`Predictor.predict`, {bench.precision}": ours.predict,
        command: lambda part: label_with_command(bench, folder, part),
    }
    speeds = timed(calls, texts, bench.args.serving_rounds)
    baseline = speeds["`pipeline(...)`"]
    rows = [[name, spread(one, 0), ratio(one, baseline)] for name, one in speeds.items()]
    quicker = quarters(ratios(speeds[command], baseline))[1]
    return Section(
        f"Prediction of {len(texts):,} texts",
        f"{table(['prediction', 'texts / s', 'against pipeline'], rows)}\nAll three read whole "
        "texts up to the model's own limit. The command's time includes opening the model, choosing "
        "the precision, reading and writing, but not starting Python; that of `pipeline` is the "
        "calls alone.\n",
        [
            Goal(
                f"`nlp-adapt predict` against `pipeline`, {len(texts):,} texts",
                ">= 2",
                f"{quicker:.2f}",
                quicker >= 2,
            )
        ],
        f"{bench.args.serving_rounds} rounds of all texts.",
    )


def onnx(bench: Bench) -> Section:
    """An ONNX file in float32 and with 8-bit weights, against PyTorch on the same batches."""
    folder = saved_model(bench)
    exports = {
        name: export_onnx(folder, bench.folder / name, int8=name == "int8")
        for name in ("onnx", "int8")
    }
    threads = torch.get_num_threads()
    graphs = {
        name: OnnxModel(Path(found["file"]).parent, threads=threads)
        for name, found in exports.items()
    }
    cpu, tokenizer = torch.device("cpu"), bench.trainer.processing_class
    model = bench.trainer.fresh_model().to(cpu)
    dataset = bench.target.without_labels()
    dataset = dataset.select(range(min(bench.args.onnx_texts, len(dataset))))
    rows = bench.trainer.task.encode(dataset, tokenizer, bench.args.max_length)
    pad_id = tokenizer.pad_token_id or 0
    calls: dict[str, Callable[[EncodedRows], Any]] = {
        "PyTorch, fp32": lambda part: predict_logits(model, part, pad_id=pad_id),
        "PyTorch, bf16": lambda part: predict_logits(model, part, pad_id=pad_id, precision="bf16"),
        "ONNX, fp32": lambda part: graph_logits(graphs["onnx"], part, pad_id),
        "ONNX, int8": lambda part: graph_logits(graphs["int8"], part, pad_id),
    }
    speeds = timed(calls, rows, bench.args.rounds)
    wanted = calls["PyTorch, fp32"](rows)
    weights = sum(one.numel() * one.element_size() for one in model.parameters())
    sizes = {"ONNX, fp32": exports["onnx"]["bytes"], "ONNX, int8": exports["int8"]["bytes"]}
    lines = []
    for name, one in speeds.items():
        found = calls[name](rows)
        same = (found.argmax(-1) == wanted.argmax(-1)).mean()
        lines.append(
            [name, spread(one, 0), ratio(one, speeds["PyTorch, fp32"]),
             f"{sizes.get(name, weights) / 2**20:.1f}", f"{np.abs(found - wanted).max():.1g}",
             f"{same:.1%}"]
        )  # fmt: skip
    heads = ["logits from", "texts / s", "against PyTorch, fp32", "MiB", "largest difference",
             "same label"]  # fmt: skip
    return Section(
        "ONNX on a CPU",
        f"{table(heads, lines)}\n{len(rows):,} texts of the target in the same length-sorted "
        f"batches, {threads} threads for both libraries; reading and tokenising are left out. The "
        "head is untrained, so that its two classes lie close together: on a trained model fewer "
        "labels change.\n",
        [],
        f"{bench.args.rounds} rounds of all texts.",
    )


def timed(calls: dict[str, Callable[[Any], Any]], rows: Any, rounds: int) -> dict[str, list[float]]:
    """Rows a second of each call, one number a round."""
    speeds: dict[str, list[float]] = {name: [] for name in calls}
    few = rows[:LONG_ENOUGH] if isinstance(rows, list) else rows
    for call in calls.values():
        call(few)

    def once(name: str, number: int) -> None:
        started = time.perf_counter()
        calls[name](rows)
        speeds[name].append(len(rows) / (time.perf_counter() - started))

    in_turns({name: name for name in calls}, rounds, once)
    return speeds


def graph_logits(graph: OnnxModel, rows: EncodedRows, pad_id: int) -> np.ndarray:
    """Logits of all rows, in their order."""
    found = np.zeros((len(rows), 0), dtype=np.float32)
    for chosen, batch in prediction_batches(rows, torch.device("cpu"), pad_id=pad_id):
        logits = graph.logits(batch["input_ids"].numpy(), batch["attention_mask"].numpy())
        if not found.size:
            found = np.zeros((len(rows), logits.shape[-1]), dtype=np.float32)
        found[chosen] = logits
    return found


def saved_model(bench: Bench) -> Path:
    """The benchmark's model with a fresh head, as a folder."""
    folder = bench.folder / "saved"
    if not folder.is_dir():
        bench.trainer.fresh_model().save_pretrained(folder)
        bench.trainer.processing_class.save_pretrained(folder)
    return folder


def some_texts(bench: Bench) -> list[str]:
    """Texts of both domains, shuffled; repeated where there are too few."""
    pool = [*bench.source.splits["train"]["text"], *bench.target.without_labels()["text"]]
    order = np.random.default_rng(bench.args.seed).permutation(len(pool))
    return [pool[index] for index in np.resize(order, bench.args.texts)]


def label_with_command(bench: Bench, model: Path, texts: Sequence[str]) -> None:
    """`nlp-adapt predict` in this process, from a jsonl file to another.

    Raises:
        RuntimeError: If it failed, or left rows out.
    """
    source, out = bench.folder / "texts.jsonl", bench.folder / "labelled.jsonl"
    source.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    out.unlink(missing_ok=True)
    options = {"--out": out, "--device": bench.device}
    words = ["predict", model, source, *(word for pair in options.items() for word in pair)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = nlp_adapt_command([str(word) for word in words])
    if code or len(out.read_text(encoding="utf-8").splitlines()) != len(texts):
        raise RuntimeError(f"nlp-adapt predict ended with {code}")
