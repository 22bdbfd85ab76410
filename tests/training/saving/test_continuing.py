"""Continuing from a saved run: labels, discriminators, and what cannot be continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ModelError, RunError
from nlp_adapt.objectives import Setup, build_objective
from nlp_adapt.training.saving.continuing import continue_objective, lasting_state, open_saved
from nlp_adapt.training.saving.resume import objectives_hash
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.interruptions import InterruptedRunError, crash_after
from tests.helpers.trainers import toy_domain, trainer_for


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a discriminator of 32 units."""
    folder = tmp_path_factory.mktemp("finished")
    trainer_for(folder, compare_source_only=False, discriminator_hidden_size=32).train()
    return folder / "run"


def continued(run: Path, folder: Path, **options: Any) -> AdaptationTrainer:
    settings = {
        "method": "dann",
        "output_dir": str(folder / "next"),
        "precision": "fp32",
        "max_steps": 1,
        "learning_rate": 0.0,
        "head_learning_rate": 0.0,
        "disable_tqdm": True,
        "compare_source_only": False,
        "discriminator_hidden_size": 32,
    }
    return AdaptationTrainer.from_pretrained(
        run, AdaptationConfig(**{**settings, **options}), toy_domain("a", 30), toy_domain("b", 50)
    )


def objectives(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "adaptation" / "objectives.safetensors")


def test_model_and_discriminator_go_on(finished: Path, tmp_path: Path) -> None:
    continued(finished, tmp_path).train()
    before, after = objectives(finished), objectives(tmp_path / "next")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    old, new = (
        load_file(run / "model" / "model.safetensors") for run in (finished, tmp_path / "next")
    )
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_a_discriminator_of_another_size_starts_anew(finished: Path, tmp_path: Path) -> None:
    continued(finished, tmp_path, discriminator_hidden_size=16).train()
    shapes = {tuple(value.shape) for value in objectives(tmp_path / "next").values()}
    assert (16, 32) in shapes


def test_the_models_own_label_order_holds(finished: Path, tmp_path: Path) -> None:
    source = toy_domain("a", 30)
    swapped = make_dataset(
        "sequence-classification",
        list(source.train["text"]),
        list(source.train["row"]),
        [1 - label for label in source.train["label"]],
        ("positive", "negative"),
    )
    trainer = AdaptationTrainer.from_pretrained(
        finished,
        AdaptationConfig(output_dir=str(tmp_path / "next"), precision="fp32"),
        Domain("a", "sequence-classification", train=swapped),
        toy_domain("b", 50, labelled=False),
    )
    assert trainer.task.label_names == ("negative", "positive")
    names = swapped.features["label"].names
    given = sorted(names[label] for label in swapped["label"])
    rows = [*trainer.data.train["source"].labels]
    rows += [*trainer.data.evaluation["source_validation"]["a"].encoded.labels]
    assert sorted(trainer.task.label_names[label] for label in rows) == given


def test_other_labels_are_refused(finished: Path, tmp_path: Path) -> None:
    rows = make_dataset("sequence-classification", ["x", "y"], ["a:1", "a:2"], [0, 1], ("a", "b"))
    domain = Domain("a", "sequence-classification", train=rows)
    args = AdaptationConfig(output_dir=str(tmp_path / "next"))
    target = toy_domain("b", 50, labelled=False)
    with pytest.raises(ModelError, match="knows the labels negative, positive"):
        AdaptationTrainer.from_pretrained(finished, args, domain, target)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no trained model"):
        open_saved(tmp_path)


def test_a_damaged_file_is_named(finished: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "adaptation" / "objectives.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"objectives\.safetensors: cannot be read"):
        open_saved(tmp_path / "run")


def test_only_the_same_build_is_loaded() -> None:
    dann = build_objective("dann", {"layers": 1}, Setup(features=2, num_labels=2))
    state = {name: torch.ones_like(value) for name, value in dann.state_dict().items()}
    name = "discriminator.layers.0.weight"
    assert not continue_objective(dann, None)
    assert not continue_objective(dann, {**state, name: torch.ones(1, 3)})
    assert continue_objective(dann, state)
    assert torch.equal(dann.state_dict()[name], state[name])


def test_a_resume_notices_other_discriminators(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    start = tmp_path / "start"
    shutil.copytree(finished, start)
    options = {"max_steps": 3, "save_steps": 1}
    with monkeypatch.context() as patch:
        crash_after(patch, 2)
        with pytest.raises(InterruptedRunError):
            continued(start, tmp_path, **options).train()
    file = start / "adaptation" / "objectives.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] + 1e-6}, file)
    with pytest.raises(RunError, match=r"objectives continued from: was [0-9a-f]{12}, is [0-9a-f]"):
        continued(start, tmp_path, **options, resume=True).train()
    save_file(tensors, file)
    assert continued(start, tmp_path, **options, resume=True).train()["resumed"]["exact"]


def test_a_run_that_continues_nothing_has_no_such_fingerprint(finished: Path) -> None:
    parts = json.loads((finished / "adaptation" / "fingerprint.json").read_text())
    assert "objectives continued from" not in parts


def test_the_digest_depends_on_everything_but_the_order() -> None:
    one, two = torch.ones(2, 3), torch.arange(4)
    digest = objectives_hash({"a": {"x": one, "y": two}, "b": {"x": two}})
    assert digest == objectives_hash({"b": {"x": two}, "a": {"y": two, "x": one}})
    others = [
        {"a": {"x": one.view(3, 2), "y": two}, "b": {"x": two}},
        {"a": {"x": one.double(), "y": two}, "b": {"x": two}},
        {"a": {"x": one, "z": two}, "b": {"x": two}},
        {"a": {"x": one, "y": two}, "c": {"x": two}},
        {"a": {"x": one, "y": two}},
        {"a": {"x": one, "y": two.flip(0)}, "b": {"x": two}},
        {"a": {"x": one.to(torch.bfloat16), "y": two}, "b": {"x": two}},
    ]
    assert len({digest, *map(objectives_hash, others)}) == 8


TEACHERS = {
    "self_training": ("teacher.", {"statistics.frequencies", "statistics.moments"}),
    "consistency": ("teacher.", set()),
    "adda": ("source_model.", {"discriminator.layers.0.weight"}),
}


@pytest.mark.parametrize("method", sorted(TEACHERS))
def test_copies_of_the_model_stay_in_the_checkpoints(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, lasting = TEACHERS[method]
    options = {"method": method, "max_steps": 4, "save_steps": 1, "compare_source_only": False}
    with monkeypatch.context() as patch:
        crash_after(patch, 3)
        with pytest.raises(InterruptedRunError):
            trainer_for(tmp_path, **options).train()
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    held = load_file(newest / "model.safetensors")
    assert any(name.startswith(f"objectives.{method}.{copies}") for name in held)
    trainer = trainer_for(tmp_path, **options, resume=True)
    trainer.train()
    saved = objectives(tmp_path / "run")
    assert not [name for name in saved if name.startswith(f"{method}.{copies}")]
    assert {f"{method}.{name}" for name in lasting} <= saved.keys()
    own = trainer.objectives[method].state_dict()
    assert all(torch.equal(value, own[name.partition(".")[2]]) for name, value in saved.items())


def test_a_teacher_begins_anew_from_the_model_that_is_continued(tmp_path: Path) -> None:
    trainer_for(tmp_path, method="self_training", compare_source_only=False).train()
    before = objectives(tmp_path / "run")
    stages = [{"objectives": ["self_training"], "steps": 1}]
    next_one = continued(tmp_path / "run", tmp_path, stages=stages, max_steps=-1)
    assert set(next_one.context.start.objectives["self_training"]) >= {"statistics.frequencies"}
    next_one.train()
    model = load_file(tmp_path / "run" / "model" / "model.safetensors")
    own = next_one.objectives["self_training"].teacher.model.state_dict()
    for name, value in model.items():
        torch.testing.assert_close(own[name], value, atol=1e-7, rtol=0)
    # The running statistics went on: those of a single step are smaller.
    after = objectives(tmp_path / "next")["self_training.statistics.frequencies"]
    assert after.sum() > before["self_training.statistics.frequencies"].sum()


def test_what_earlier_versions_saved_is_still_read(tmp_path: Path) -> None:
    """Their file held the teacher too."""
    trainer = trainer_for(tmp_path, method="self_training", compare_source_only=False)
    trainer.train()
    objective = trainer.objectives["self_training"]
    state = {name: value.clone() for name, value in objective.state_dict().items()}
    assert len(state) > len(lasting_state(objective))
    teacher = next(name for name in state if name.startswith("teacher."))
    state[teacher] += 1.0
    state["statistics.frequencies"] += 1.0
    assert continue_objective(objective, state)
    assert torch.equal(objective.statistics.frequencies, state["statistics.frequencies"])
    assert not torch.equal(objective.state_dict()[teacher], state[teacher])
    # A state of nothing but a teacher holds nothing to go on from.
    assert not continue_objective(objective, {teacher: state[teacher]})
