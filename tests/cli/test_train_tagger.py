"""A tagger from two CoNLL files to a plain model, and what the objectives see of its words."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nlp_adapt.cli import main
from nlp_adapt.data.batches.encoded import collate, to_tensors
from nlp_adapt.data.batches.words import encode_words
from nlp_adapt.modeling.units import UnitReader, word_weights
from tests.helpers.tiny_taggers import FAMILIES, tagger

PEOPLE = ("anna", "rex", "leo")
PLACES = ("rome", "oslo", "lima")
COUNTS = ("count", "labelled")


def write_toy(path: Path, filler: tuple[str, ...], *, tagged: bool = True) -> str:
    rng = random.Random(path.name)
    lines = []
    for _ in range(40):
        words = [(rng.choice(PEOPLE), "B-PER"), *((w, "O") for w in rng.sample(filler, 2))]
        words += [(rng.choice(PLACES), "B-LOC"), ("x", "I-LOC")]
        lines += [f"{word}\t{tag}" if tagged else word for word, tag in words]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def run_folder(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ner")
    source = write_toy(folder / "news.conll", ("saw", "met", "of"))
    text = write_toy(folder / "tweets.conll", ("lol", "omg", "via"), tagged=False)
    test = write_toy(folder / "gold.conll", ("lol", "omg", "via"))
    words = ["train", "--task", "token-classification", "--model", str(tiny_model_dir)]
    words += ["--source", source, "--target", text, "--target-test", test]
    words += [
        "--max-steps",
        "20",
        "--lambda-max",
        "0.1",
        "--per-device-train-batch-size",
        "8",
        "--learning-rate",
        "3e-3",
    ]
    words += ["--precision", "fp32", "--max-length", "12", "--disable-tqdm"]
    words += ["--output-dir", str(folder / "run")]
    assert main(words) == 0
    return folder / "run"


def test_a_run_scores_spans_on_both_domains(run_folder: Path) -> None:
    results = json.loads((run_folder / "results.json").read_text(encoding="utf-8"))
    assert results["labels"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert results["target"]["rows"]["test"] == 40
    for model in ("source_only", "adapted"):
        for domain in ("source", "target"):
            scores = results[model][domain]
            assert set(scores["per_type"]) == {"LOC", "PER"}
            assert scores["uncovered_types"] == []
        assert results[model]["target"]["support"] == 80
        assert results[model]["source"]["f1"] > 0.5  # such a source is learned at once


def test_the_model_opens_as_a_plain_pipeline(run_folder: Path) -> None:
    from transformers import pipeline

    plain: Any = pipeline(
        "token-classification", model=str(run_folder / "model"), aggregation_strategy="simple"
    )
    groups = {entity["entity_group"] for entity in plain("anna met of rome x")}
    assert groups
    assert groups <= {"LOC", "PER"}


def test_the_report_names_the_types(run_folder: Path) -> None:
    from nlp_adapt.training.trainer_api.view import RunResults

    results = json.loads((run_folder / "results.json").read_text(encoding="utf-8"))
    report = str(RunResults(results, run_folder))
    assert "on target, %" in report
    assert "PER" in report


@pytest.mark.parametrize("family", FAMILIES)
def test_objectives_see_first_pieces_and_nothing_else(family: str) -> None:
    """Units do not change with padding; each feature is what the classifier reads of the word."""
    model, tokenizer = tagger(family)
    rows = encode_words([["anna", "b"], ["c", "\x00rex", "d"]], tokenizer, 32)
    reader = UnitReader(model, outside=0)
    outputs = []
    for width in (16, 24):
        parts = [(rows, np.array([0])), (rows, np.array([1]))]
        batch = to_tensors(collate(parts, width=width, pad_id=tokenizer.pad_token_id))
        units = rows.unit_counts
        batch.update(source_units=int(units[0]), source_count=1.0, target_count=1.0)
        batch.update(source_labelled=0.0, target_labelled=0.0)
        with torch.no_grad():
            outputs.append(reader.read(model, batch))
    for narrow, wide in zip(*outputs, strict=True):
        torch.testing.assert_close(narrow.features, wide.features, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(narrow.logits, model.classifier(narrow.features))
    source, target = outputs[0]
    assert len(source) == 2
    assert len(target) == units[1]
    assert target.rows.tolist() == [1] * len(target)


def test_word_weights_treat_both_domains_alike():
    """Three likely entities among eight words; the same rule for every word of the batch."""
    entity = torch.tensor([0.9, 0.1, 0.1, 0.1, 0.8, 0.7, 0.2, 0.1])
    logits = torch.stack([(1 - entity).log(), (entity / 2).log(), (entity / 2).log()], dim=1)
    assert word_weights(logits, 0, "all") is None
    balanced = word_weights(logits, 0, "balanced")
    by_hand = entity + (1 - entity) * entity.sum() / (1 - entity).sum()
    torch.testing.assert_close(balanced, by_hand / by_hand.mean())
    torch.testing.assert_close(
        word_weights(logits, 0, "entities"), entity / entity.mean(), atol=1e-6, rtol=1e-5
    )
    for how in ("balanced", "entities"):
        assert word_weights(logits, 0, how).mean().item() == pytest.approx(1.0)
        assert word_weights(logits[:0], 0, how) is None


def test_subsampling_keeps_entities_and_as_many_other_words():
    torch.manual_seed(0)
    entity = torch.cat([torch.full((200,), 0.999), torch.full((3800,), 0.001)])
    logits = torch.stack([(1 - entity).log(), entity.log()], dim=1)
    weights = word_weights(logits, 0, "subsampled")
    assert (weights[:200] > 0).all()
    kept = int((weights[200:] > 0).sum())
    assert 150 < kept < 260  # about as many as entities; all 3,800 without the draw
    assert weights.mean().item() == pytest.approx(1.0, abs=1e-5)
    again = word_weights(logits, 0, "subsampled")
    assert not torch.equal(weights, again)  # another draw at each step


def test_a_run_can_weigh_its_words() -> None:
    """The option reaches what objectives see."""
    model, tokenizer = tagger("bert")
    rows = encode_words([["anna", "b"], ["c", "rex", "d"]], tokenizer, 32)
    parts = [(rows, np.array([0])), (rows, np.array([1]))]
    batch = to_tensors(collate(parts, width=16, pad_id=tokenizer.pad_token_id))
    counts = {f"{side}_{kind}": 1.0 for side in ("source", "target") for kind in COUNTS}
    batch.update(counts, source_units=2)
    source, target = UnitReader(model, outside=0, domain_words="balanced").read(model, batch)
    assert source.weights is not None
    both = torch.cat([source.weights, target.weights])
    assert both.mean().item() == pytest.approx(1.0, abs=1e-5)


def test_its_report_shows_spans_and_links_the_tagged_text(
    run_cli: Callable[..., tuple[int, str, str]], run_folder: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    code, _, err = run_cli("report", run_folder, "--examples", 3, "--out", page)
    assert code == 0, err
    text = page.read_text(encoding="utf-8")
    assert "found where nothing is" in text
    assert '<a href="tagged.html">' in text
    assert "<mark" in (tmp_path / "tagged.html").read_text(encoding="utf-8")
