"""`nlp-adapt verify` tells the state of a run; `nlp-adapt replay` runs a broken step again."""

import json
import shutil
import signal

import pytest
import torch

from nlp_adapt.objectives.task import TaskLoss
from nlp_adapt.training import loop as loop_module
from tests.helpers.interruptions import signal_at


@pytest.fixture(scope="module")
def words(tiny_model_dir, toy_source_csv, toy_target_jsonl):
    """A short run, without its output folder."""
    return (
        *("train", "--model", tiny_model_dir, "--source", toy_source_csv, "--max_steps", 3),
        *("--target", toy_target_jsonl, "--precision", "fp32", "--no_compare_source_only"),
        *("--per_device_train_batch_size", 4, "--disable_tqdm", "--method", "dann"),
    )


@pytest.fixture(scope="module")
def whole(words, tmp_path_factory):
    from nlp_adapt.cli import main

    folder = tmp_path_factory.mktemp("verify") / "run"
    assert main([str(word) for word in (*words, "--output_dir", folder)]) == 0
    return folder


@pytest.fixture
def finished(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


@pytest.fixture
def stopped(words, tmp_path, monkeypatch, run_cli):
    with monkeypatch.context() as patch:
        signal_at(patch, 1, signal.SIGTERM)
        assert run_cli(*words, "--output_dir", tmp_path / "run")[0] == 143
    return tmp_path / "run"


def test_a_finished_run_is_complete(finished, run_cli):
    code, out, _ = run_cli("verify", finished)
    assert code == 0
    assert "complete." in out


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("model/model.safetensors", "damaged"),
        ("adaptation/objectives.safetensors", "damaged"),
        ("results.json", "not valid JSON"),
    ],
)
def test_a_torn_file_is_named(finished, run_cli, file, problem):
    content = (finished / file).read_bytes()
    (finished / file).write_bytes(content[: len(content) // 2])
    code, out, _ = run_cli("verify", finished, "--json")
    found = json.loads(out)
    assert code == 1
    assert not found["complete"]
    assert any(str(finished / file) in line and problem in line for line in found["problems"])


def test_a_stopped_run_can_be_resumed_exactly(stopped, run_cli):
    code, out, _ = run_cli("verify", stopped)
    assert code == 1
    assert "a resume from step-000000002 would be exact" in out


@pytest.mark.parametrize(
    ("name", "words_found"),
    [
        ("optimizer.safetensors", "needs allow_inexact_resume"),
        ("model.safetensors", "start anew with overwrite"),
    ],
)
def test_a_resume_that_would_not_be_exact_is_told(stopped, run_cli, name, words_found):
    (stopped / "checkpoints" / "step-000000002" / name).unlink()
    code, out, _ = run_cli("verify", stopped)
    assert code == 1
    assert "would not be exact" in out
    assert words_found in out
    assert name in out


def test_a_folder_without_a_run_is_an_error(tmp_path, run_cli):
    code, _, err = run_cli("verify", tmp_path)
    assert code == 2
    assert "holds no run" in err


def break_one_step(monkeypatch, at):
    """Make the task's loss infinite in one attempt, from the model's own outputs."""
    original = TaskLoss.losses
    calls = []

    def losses(self, source, target, progress):
        terms = original(self, source, target, progress)
        calls.append(1)
        return {**terms, "task": terms["task"] / 0.0} if len(calls) == at else terms

    monkeypatch.setattr(TaskLoss, "losses", losses)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--gradient_accumulation_steps", 2),
        ("--freeze", "all"),  # rows read from the feature cache
        ("--freeze", 1),
        ("--freeze", 1, "--no_cache_features"),
    ],
)
def test_a_broken_step_is_kept_and_replays_with_the_same_numbers(
    words, tmp_path, monkeypatch, run_cli, options
):
    """Poisoned from outside, the step is kept; run again it is fine, and says the same losses."""
    original = loop_module.StageLoop._forward_backward
    seen = []

    def poison(self, batches):
        terms = original(self, batches)
        seen.append({name: float(value) for name, value in terms.items()})
        if len(seen) == 2:
            trained = [p for p in self.wrapped.parameters() if p.grad is not None]
            trained[0].grad.fill_(float("nan"))
        return terms

    with monkeypatch.context() as patch:
        patch.setattr(loop_module.StageLoop, "_forward_backward", poison)
        assert run_cli(*words, *options, "--output_dir", tmp_path / "run")[0] == 0
    dumps = [path.name for path in (tmp_path / "run" / "black_box").iterdir()]
    assert len(dumps) == 1
    code, out, err = run_cli("replay", tmp_path / "run", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["finite"]
    assert found["dump"] == dumps[0]
    for name, value in seen[1].items():
        assert float(found["terms"][name]) == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_a_step_that_breaks_again_names_term_and_parameters(words, tmp_path, monkeypatch, run_cli):
    with monkeypatch.context() as patch:
        break_one_step(patch, 2)
        assert run_cli(*words, "--output_dir", tmp_path / "run")[0] == 0
    with monkeypatch.context() as patch:
        break_one_step(patch, 1)
        code, out, _ = run_cli("replay", tmp_path / "run")
    assert code == 0
    assert "Terms that are not finite: task" in out
    assert "Parameters whose gradient is not finite: task_model" in out


def test_weights_that_were_broken_before_are_named_and_so_are_the_rows(
    words, tmp_path, monkeypatch, run_cli
):
    original = loop_module.StageLoop._forward_backward
    calls = []

    def poison(self, batches):
        calls.append(1)
        weight = self.model.task_model.get_input_embeddings().weight.data
        word = int(batches[0]["input_ids"][0, 1])
        kept = weight[word].clone()
        if len(calls) == 2:
            weight[word] = float("nan")
        terms = original(self, batches)
        if len(calls) == 3:
            weight[word] = kept
        return terms

    with monkeypatch.context() as patch:
        patch.setattr(loop_module.StageLoop, "_forward_backward", poison)
        patch.setattr(loop_module, "MOST_SKIPPED_STEPS", 1)
        code, _, err = run_cli(*words, "--output_dir", tmp_path / "run")
        assert code == 2
        assert "non-finite gradients" in err
    code, out, _ = run_cli("replay", tmp_path / "run")
    assert "Weights that were not finite before the step: task_model" in out
    assert "row breaks the model: '" in out


def test_replay_without_a_dump_says_so(finished, run_cli):
    code, _, err = run_cli("replay", finished)
    assert code == 2
    assert "only steps that were not finite are kept" in err
    code, _, err = run_cli("replay", finished, "--step", "step-1")
    assert code == 2
    assert "has no 'step-1' (it holds none)" in err


def test_replay_refuses_other_rows(words, tmp_path, monkeypatch, run_cli, toy_source_csv):
    own = tmp_path / "reviews.csv"
    shutil.copy(toy_source_csv, own)
    words = [own if word == toy_source_csv else word for word in words]
    with monkeypatch.context() as patch:
        break_one_step(patch, 2)
        assert run_cli(*words, "--output_dir", tmp_path / "run")[0] == 0
    lines = own.read_text().splitlines(keepends=True)
    own.write_text("".join(lines[:60]))
    code, _, err = run_cli("replay", tmp_path / "run")
    assert code == 2
    assert "no longer holds the same rows" in err
    assert torch.is_grad_enabled()
