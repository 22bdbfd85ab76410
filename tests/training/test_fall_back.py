"""The guard in a run: evidence without target labels, and the twin in the adapted model's place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.errors import ConfigError
from nlp_adapt.objectives.distillation import Distillation
from nlp_adapt.prediction.likeness import load_likeness
from nlp_adapt.training import run as run_module
from nlp_adapt.validators.guard import Verdict
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import NAMES, toy_domain, trainer_for, with_domains

OPTIONS = {"data_doctor": "off", "validation_fraction": 0.3}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.fixture
def against(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that speaks for the twin."""
    verdict = Verdict("source-only", ["It was told to say so."])
    monkeypatch.setattr(run_module, "judge_run", lambda results, **_: verdict)


def test_a_run_keeps_evidence_that_no_target_label_changes(tmp_path: Path) -> None:
    results = []
    for name in ("labelled", "unlabelled"):
        trainer = trainer_for(tmp_path / name, **OPTIONS)
        if name == "unlabelled":
            unlabelled = toy_domain("tweets", 50, labelled=False)
            with_domains(trainer, targets=unlabelled)
        results.append(trainer.train())
    saved = json.loads((tmp_path / "labelled" / "run" / "results.json").read_text())
    for one, other in zip(results, (results[1], saved), strict=True):
        assert one["guard"] == other["guard"]
        for model in ("source_only", "adapted"):
            assert one[model]["label_free"] == other[model]["label_free"]
            assert one[model]["evidence"] == other[model]["evidence"]
    labelled, without = results
    assert labelled["adapted"]["target"] is not None
    assert without["adapted"]["target"] is None
    assert set(labelled["guard"]) == {"verdict", "reasons"}
    assert labelled["exported"] == "adapted"
    evidence = labelled["adapted"]["evidence"]
    assert sum(evidence["predicted"].values()) == pytest.approx(1)
    assert 0 <= labelled["adapted"]["label_free"]["estimated_accuracy"] <= 1
    card = (tmp_path / "unlabelled" / "run" / "model" / "README.md").read_text()
    assert "never measured" in card
    assert "estimated accuracy on the target" in card


def test_a_verdict_alone_changes_no_file(tmp_path: Path, against: None) -> None:
    results = trainer_for(tmp_path, **OPTIONS).train()
    run = tmp_path / "run"
    assert results["guard"]["verdict"] == "source-only"
    assert results["exported"] == "adapted"
    assert not (run / "adapted").exists()
    assert not same(weights(run / "model"), weights(run / "source_only" / "model"))


def test_the_twin_takes_the_place(tmp_path: Path, against: None) -> None:
    trainer = trainer_for(tmp_path, **OPTIONS, fall_back=True)
    results = trainer.train()
    run = tmp_path / "run"
    twin = weights(run / "source_only" / "model")
    assert results["exported"] == "source_only"
    assert same(twin, weights(run / "model"))
    assert same(twin, {k: v.cpu() for k, v in trainer.model.state_dict().items()})
    assert not same(twin, weights(run / "adapted" / "model"))
    assert (run / "adapted" / "model" / "config.json").is_file()
    assert load_likeness(str(run)).columns  # of the model that is exported
    card = (run / "model" / "README.md").read_text()
    assert "was tried and, by signs that need no labels of the target, not kept" in card
    assert "the exported model is the source-only one" in card
    assert "It was told to say so." in card
    trainer_for(tmp_path, **OPTIONS, overwrite=True).train()
    assert not (run / "adapted").exists()


def test_falling_back_survives_an_interruption(
    tmp_path: Path, against: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run dies after the twin has taken the place, but before the results say so."""
    real = run_module.write_json

    def dies(path: Path, value: Any) -> None:
        if path.name == "results.json":
            raise KeyboardInterrupt
        real(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_json", dies)
        with pytest.raises(KeyboardInterrupt):
            trainer_for(tmp_path, **OPTIONS, fall_back=True).train()
    run = tmp_path / "run"
    adapted = weights(run / "adapted" / "model")
    results = trainer_for(tmp_path, **OPTIONS, fall_back=True, resume=True).train()
    assert results["exported"] == "source_only"
    assert same(adapted, weights(run / "adapted" / "model"))
    assert same(weights(run / "source_only" / "model"), weights(run / "model"))


def test_without_a_twin_there_is_no_guard(tmp_path: Path) -> None:
    results = trainer_for(tmp_path, **OPTIONS, compare_source_only=False).train()
    assert results["guard"] is None
    with pytest.raises(ConfigError, match="fall_back needs the source-only twin"):
        trainer_for(tmp_path, compare_source_only=False, fall_back=True)


class Gentle(Distillation):
    """A user's own distillation."""


def test_a_student_is_exported_unless_signs_speak_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its teacher knows what the twin does not, and was named by the user."""
    teacher = tmp_path / "teacher"
    tiny_model("bert", labels=NAMES, seed=5).save_pretrained(teacher)
    tiny_tokenizer().save_pretrained(teacher)
    options = {**OPTIONS, "method": "distillation", "teacher": str(teacher), "fall_back": None}
    for stages, taught in (
        ([{"objectives": ["distillation"], "steps": 2}], True),
        ([{"objectives": ["task", "distillation"], "steps": 2}], False),
        ([{"objectives": [name], "steps": 1} for name in ("task", "distillation")], None),
        ([{"objectives": [f"{__name__}:Gentle"], "steps": 2}], "by its own kind"),
    ):
        options |= {"stages": stages, "max_steps": -1}
        results = trainer_for(tmp_path / str(taught), **options).train()
        assert ("A teacher's answers" in " ".join(results["guard"]["reasons"])) is bool(taught)
    for verdict, exported in (("undecided", "adapted"), ("source-only", "source_only")):
        monkeypatch.setattr(
            run_module, "judge_run", lambda *_, said=verdict, **__: Verdict(said, [])
        )
        assert trainer_for(tmp_path / verdict, **options).train()["exported"] == exported
