"""Runs on edited copies and edited views: what they train on, what they record, how they resume."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.config import EDITS, AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.names import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION
from nlp_adapt.reporting.comparison import conclusions
from nlp_adapt.training import loop as loop_module
from nlp_adapt.training.inputs.augmented import RowAugmentation
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.toy_texts import FILLER, SOURCE_WORDS, TARGET_WORDS, toy_rows
from tests.helpers.trainers import with_domains

LABELS = ["negative", "positive"]
ROWS = 200
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def reviews(name: str, words: tuple[str, ...], rows: int = ROWS, labelled: bool = True) -> Domain:
    pairs = toy_rows(words, rows, seed=len(name))
    places = [f"{name}:{i}" for i in range(rows)]
    labels = [LABELS.index(label) for _, label in pairs] if labelled else None
    texts = [text for text, _ in pairs]
    dataset = make_dataset(SEQUENCE_CLASSIFICATION, texts, places, labels, LABELS)
    if not labelled:
        return Domain(name, SEQUENCE_CLASSIFICATION, unlabelled=dataset)
    held = dataset.select(range(20))
    return Domain(name, SEQUENCE_CLASSIFICATION, train=dataset, validation=held, test=held)


def news(name: str, words: tuple[str, ...], rows: int = ROWS) -> Domain:
    tokens, tags = [], []
    for number in range(rows):
        filler = [FILLER[(number * 5 + i) % len(FILLER)] for i in range(3)]
        person = ["happy", "sad"] if number % 2 else ["lovely"]
        tokens.append(
            [filler[0], *person, words[number % len(words)], filler[1], "dull", filler[2]]
        )
        tags.append([0, *[1, 2][: len(person)], 0, 0, 3, 0])
    places = [f"{name}:{i}" for i in range(rows)]
    dataset = make_dataset(TOKEN_CLASSIFICATION, tokens, places, tags, TAGS)
    held = dataset.select(range(20))
    return Domain(name, TOKEN_CLASSIFICATION, train=dataset, validation=held, test=held)


@pytest.fixture
def trainer_for(tiny_model_dir: Path, tmp_path: Path) -> Any:
    """A trainer on two toy domains, whose words in small letters mark them."""

    def make(folder: str = "run", tagging: bool = False, **options: Any) -> AdaptationTrainer:
        make_domain = news if tagging else reviews
        defaults = {
            "output_dir": str(tmp_path / folder),
            "task": TOKEN_CLASSIFICATION if tagging else SEQUENCE_CLASSIFICATION,
            "method": "source_only",
            "precision": "fp32",
            "max_steps": 2,
            "max_length": 24,
            "per_device_train_batch_size": 4,
            "eval_strategy": "no",
            "disable_tqdm": True,
            "data_doctor": "off",
            "augment_rate": 0.3,
            "compare_source_only": False,
        }
        return AdaptationTrainer(
            str(tiny_model_dir),
            AdaptationConfig(**{**defaults, **options}),
            make_domain("reviews", SOURCE_WORDS),
            make_domain("tweets", TARGET_WORDS),
        )

    return make


def texts_of(trainer: AdaptationTrainer, rows: Any) -> list[str]:
    decode = trainer.processing_class.decode
    return [decode(part) for part in np.split(rows.ids, rows.offsets[1:-1])]


def weights(folder: Path) -> dict[str, Any]:
    return {
        **load_file(folder / "model" / "model.safetensors"),
        **load_file(folder / "adaptation" / "objectives.safetensors"),
    }


@pytest.mark.parametrize(
    ("edit", "tagging"),
    [*((edit, False) for edit in EDITS), ("delete", True), ("domain_terms", True)],
)
def test_every_edit_trains_and_is_recorded(
    trainer_for: Any, edit: str, tagging: bool, tmp_path: Path
) -> None:
    plain = trainer_for(tagging=tagging).data
    trainer = trainer_for(tagging=tagging, augment=edit, augment_copies=2)
    results = trainer.train()
    data, report = trainer.data, results["augmentation"]
    # Only the source's training rows have copies, and they stand behind the rows themselves.
    for side in ("source", "target"):
        assert np.array_equal(data.train[side].ids, plain.train[side].ids)
        assert np.array_equal(data.train[side].labels, plain.train[side].labels)
    for part, sets in plain.evaluation.items():
        for name, one in sets.items():
            assert np.array_equal(data.evaluation[part][name].encoded.ids, one.encoded.ids)
    rows = data.with_copies["source"]
    own = data.train["source"]
    assert np.array_equal(rows.ids[: len(own.ids)], own.ids)
    assert np.array_equal(rows.labels[: own.units], own.labels)
    assert report["texts"] == len(data.copies) == len(rows) - len(own) > 20
    assert report["texts"] + report["unchanged"] == 2 * ROWS
    assert (report["edit"], report["copies"], report["rate"]) == (edit, 2, 0.3)
    assert report["fitted_head"] == (edit == "infill")
    assert 0.01 < report["edited_words"] < 0.6
    assert results["cost"]["rows"]["source"] == len(rows)
    assert results["cost"]["tokens"]["source"] == int(rows.lengths.sum())
    assert results["source"]["rows"]["train"] == ROWS
    assert set(np.unique(rows.labels)) == set(np.unique(own.labels))
    kept = (tmp_path / "run" / "augmented.jsonl").read_text().splitlines()
    assert len(kept) == 1 + report["texts"]
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results


def test_the_twin_sees_no_copies_but_takes_as_many_steps(trainer_for: Any, tmp_path: Path) -> None:
    options = {"max_steps": -1, "num_train_epochs": 0.1}
    plain = trainer_for("plain", **options).train()
    results = trainer_for(augment="mask", compare_source_only=True, **options).train()
    rows = ROWS + results["augmentation"]["texts"]
    steps = -(-rows // 40)
    assert results["adapted"]["steps"] == results["source_only"]["steps"] == steps > 8
    assert results["cost"]["steps"] == {"source_only": steps, "adapted": steps}
    again = trainer_for("again", max_steps=steps).train()
    assert plain["adapted"]["steps"] == 5
    twin = load_file(tmp_path / "run" / "source_only" / "model" / "model.safetensors")
    unaugmented = load_file(tmp_path / "again" / "model" / "model.safetensors")
    for name, value in twin.items():
        assert torch.equal(value, unaugmented[name]), name
    assert results["source_only"]["ledger"] == again["adapted"]["ledger"]
    assert results["adapted"]["ledger"] != again["adapted"]["ledger"]


def test_augmentation_alone_is_compared_with_doing_nothing(trainer_for: Any) -> None:
    results = trainer_for(augment="delete", compare_source_only=True).train()
    assert results["difference"].keys() == {"source", "target"}
    assert "source_only + delete" in str(results)
    assert "yardstick" not in " ".join(conclusions(results))
    plain = trainer_for("plain", max_steps=1).train()
    assert plain["augmentation"] is None
    assert "yardstick" in " ".join(conclusions(plain))


def test_copies_belong_to_the_source_of_their_row(tiny_model_dir: Path, tmp_path: Path) -> None:
    args = AdaptationConfig(output_dir=str(tmp_path / "run"), augment="swap", data_doctor="off")
    sources = [reviews("films", SOURCE_WORDS[:4]), reviews("plays", SOURCE_WORDS[4:], 30)]
    trainer = AdaptationTrainer(str(tiny_model_dir), args, sources, reviews("tweets", TARGET_WORDS))
    rows = trainer.data.copies
    texts = texts_of(trainer, rows)
    assert len(texts) > 150
    for text, domain in zip(texts, rows.domains, strict=True):
        words = set(text.split())
        assert words & set(SOURCE_WORDS[4:] if domain else SOURCE_WORDS[:4])
        assert not words & set(SOURCE_WORDS[:4] if domain else SOURCE_WORDS[4:])


def test_a_teacher_speaks_of_the_copies_too(trainer_for: Any, tmp_path: Path) -> None:
    trainer_for("teacher", max_steps=1).train()
    options = {
        "method": "distillation",
        "teacher": str(tmp_path / "teacher"),
        "options": {"distillation": {"domains": "both"}},
    }
    trainer = trainer_for("student", augment="mask", **options)
    rows = trainer.data.with_copies["source"]
    assert rows.teacher.shape == (len(rows), 2)
    from nlp_adapt.prediction.opening import load_predictor

    expected = load_predictor(tmp_path / "teacher").logits(rows)
    np.testing.assert_allclose(rows.teacher, expected, atol=1e-5)
    assert trainer.train()["adapted"]["steps"] == 2


def test_domain_terms_bring_the_targets_words_without_its_labels(trainer_for: Any) -> None:
    trainer = trainer_for(augment="domain_terms", augment_rate=1.0)
    texts = " ".join(texts_of(trainer, trainer.data.copies)).split()
    assert set(texts) & set(TARGET_WORDS)
    blind = trainer_for("blind", augment="domain_terms", augment_rate=1.0)
    with_domains(blind, targets=reviews("tweets", TARGET_WORDS, labelled=False))
    assert texts_of(blind, blind.data.copies) == texts_of(trainer, trainer.data.copies)


def test_terms_that_are_not_there_leave_a_warning_and_no_copies(
    trainer_for: Any, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = trainer_for(augment="domain_terms")
    with_domains(trainer, targets=replace(trainer.source, name="same"))
    with caplog.at_level(logging.WARNING):
        results = trainer.train()
    assert "domain_terms changed no row" in caplog.text
    assert trainer.data.copies is None
    assert results["augmentation"]["texts"] == 0
    assert results["cost"]["rows"]["source"] == ROWS


class CrashError(Exception):
    """Stands for a crash."""


def crash_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    original, left = loop_module.StageLoop._apply, [steps]

    def apply(self: Any) -> bool:
        if not left[0]:
            raise CrashError
        left[0] -= 1
        return original(self)

    monkeypatch.setattr(loop_module.StageLoop, "_apply", apply)


RUNS: list[dict[str, Any]] = [
    {"method": "consistency", "options": {"consistency": {"edit": "mask"}}},
    {"augment": "infill"},
    {"augment": "domain_terms", "augment_copies": 2},
    {"method": "consistency", "options": {"consistency": {"edit": "infill"}}},
    {"method": "consistency", "options": {"consistency": {"edit": "domain_terms"}}},
    {"method": "self_training", "options": {"self_training": {"edit": "infill"}}},
]


@pytest.mark.parametrize("options", RUNS, ids=str)
def test_an_interrupted_run_ends_with_the_same_bits(
    trainer_for: Any, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the last stage, whose objectives were built on trained weights."""
    options = {
        **options,
        "max_steps": 6,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    whole = trainer_for("whole", **options).train()
    with monkeypatch.context() as patch:
        crash_after(patch, 4)
        with pytest.raises(CrashError):
            trainer_for("broken", **options).train()
    with monkeypatch.context() as patch:
        patch.setattr(RowAugmentation, "_make", None)  # the copies are read, not made again
        resumed = trainer_for("broken", **options, resume=True).train()
    assert resumed["resumed"] == {"step": 4, "exact": True, "notes": []}
    assert resumed["adapted"]["ledger"] == whole["adapted"]["ledger"]
    assert resumed["augmentation"] == whole["augmentation"]
    found = weights(tmp_path / "broken")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, found[name]), name
    folders = [tmp_path / name for name in ("whole", "broken")]
    kept = [f.read_bytes() for one in folders if (f := one / "augmented.jsonl").exists()]
    assert len(kept) == (2 if "augment" in options else 0)
    assert len(set(kept)) <= 1


def test_other_copies_are_another_run(trainer_for: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nlp_adapt.errors import RunError

    options = {"save_strategy": "steps", "save_steps": 1}
    with monkeypatch.context() as patch:
        crash_after(patch, 1)
        with pytest.raises(CrashError):
            trainer_for(**options, augment="mask").train()
    with pytest.raises(RunError, match="option augment: was 'mask', is 'delete'"):
        trainer_for(**options, augment="delete", resume=True).train()


def test_damaged_copies_are_made_anew_and_a_new_run_leaves_none(
    trainer_for: Any, tmp_path: Path
) -> None:
    trainer_for(augment="replace").train()
    path = tmp_path / "run" / "augmented.jsonl"
    before = path.read_bytes()
    path.write_bytes(before[:-9])
    trainer_for(augment="replace", resume=True).train()
    assert path.read_bytes() == before
    trainer_for(overwrite=True).train()
    assert not path.exists()


def test_who_looks_at_a_run_again_sees_its_copies(
    trainer_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without being a run."""
    copies = (trainer := trainer_for(augment="swap")).data.copies
    assert not trainer.folder.path.exists()  # a look alone writes nothing
    trainer_for(augment="swap", max_steps=1).train()
    monkeypatch.setattr(RowAugmentation, "_make", None)
    again = trainer_for(augment="swap").data.copies
    assert np.array_equal(again.ids, copies.ids)


def test_rows_and_ledger_do_not_depend_on_the_view(trainer_for: Any) -> None:
    ledgers = set()
    for number, edit in enumerate(("none", "infill", "domain_terms")):
        options = {"method": "consistency", "options": {"consistency": {"edit": edit}}}
        results = trainer_for(str(number), **options).train()
        ledgers.add(results["adapted"]["ledger"])
    assert len(ledgers) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": "translate"}, "augment is 'translate', but must be one of none, delete"),
        ({"augment": "mask", "augment_copies": 0}, "augment_copies is 0"),
        ({"augment": "mask", "augment_rate": 0.0}, "augment_rate is 0.0"),
        ({"augment": "mask", "augment_rate": 1.5}, "augment_rate is 1.5"),
        ({"augment": "mask", "augment_model": "x"}, "augment_model is there for augment: infill"),
        ({"augment_model": "x"}, "but augment is 'none'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdaptationConfig(**options)


def test_what_the_run_lacks_is_named(
    trainer_for: Any, tiny_model_dir: Path, tmp_path: Path
) -> None:
    args = AdaptationConfig(method="source_only", augment="domain_terms", data_doctor="off")
    with pytest.raises(ConfigError, match="domain_terms needs a target domain: set `target`"):
        AdaptationTrainer(str(tiny_model_dir), args, reviews("reviews", SOURCE_WORDS))
    with pytest.raises(ModelError, match="has no masked-language-modelling head"):
        assert trainer_for(augment="infill", augment_model=str(tiny_model_dir)).data
    trainer = trainer_for(augment="mask")
    trainer.processing_class.mask_token = None
    with pytest.raises(ConfigError, match="no mask token"):
        assert trainer.data


def test_a_named_model_fills_in_with_a_tokenizer_of_its_own(
    trainer_for: Any, tmp_path: Path
) -> None:
    import transformers

    from tests.helpers.tiny_batches import SIZES, VOCABULARY, make_tokenizer

    config = transformers.BertConfig(vocab_size=len(VOCABULARY), **SIZES)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "mlm")
    make_tokenizer().save_pretrained(tmp_path / "mlm")
    trainer = trainer_for(augment="infill", augment_model=str(tmp_path / "mlm"))
    report = trainer.data.augmentation
    assert report["texts"] > 30
    assert not report["fitted_head"]
    own = set(" ".join(texts_of(trainer, trainer.data.train["source"])).split())
    new = set(" ".join(texts_of(trainer, trainer.data.copies)).split()) - own
    assert new & {"phone", "screen", "battery", "solid", "cheap", "fine"}
