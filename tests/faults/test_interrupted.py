"""Signals, locks, changed runs, missing state and full disks."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from nlp_adapt.errors import RunError, RunStopped
from nlp_adapt.training.accelerator import any_process
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.saving.checkpoint import (
    CheckpointFolder,
    load_random,
    random_tensors,
    verify,
)
from nlp_adapt.training.saving.run_folder import RunFolder
from tests.helpers.interruptions import signal_at, weights
from tests.helpers.trainers import toy_domain, trainer_for, with_domains

OPTIONS = {
    "compare_source_only": False,
    "max_steps": 4,
    "discriminator_dropout": 0.3,
    "data_doctor": "off",
}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_one_step_and_the_run_goes_on_exactly(
    tmp_path, monkeypatch, whole_run, number, code
):
    folder, whole = whole_run(**OPTIONS)
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        signal_at(patch, 1, number)
        with pytest.raises(RunStopped, match="after step 2, and saved") as stopped:
            trainer_for(tmp_path / "stopped", **OPTIONS).train()
    assert stopped.value.exit_code == code
    assert signal.getsignal(number) is before
    run = tmp_path / "stopped" / "run"
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000000002"]
    assert not (run / ".lock").exists()
    resumed = trainer_for(tmp_path / "stopped", **OPTIONS, resume=True).train()
    assert resumed["resumed"] == {"step": 2, "exact": True, "notes": []}
    assert resumed["adapted"]["ledger"] == whole["adapted"]["ledger"]
    for name, value in weights(folder).items():
        assert torch.equal(value, weights(tmp_path / "stopped")[name]), name


def test_the_command_line_leaves_with_the_code_of_the_signal(
    tmp_path, monkeypatch, run_cli, tiny_model_dir, toy_source_csv, toy_target_jsonl
):
    words = (
        *("train", "--model", tiny_model_dir, "--source", toy_source_csv, "--max_steps", 2),
        *("--target", toy_target_jsonl, "--output_dir", tmp_path / "run", "--precision", "fp32"),
    )
    with monkeypatch.context() as patch:
        signal_at(patch, 0)
        code, _, text = run_cli(*words)
    assert code == 143
    said = (
        "nlp-adapt: stopped by SIGTERM after step 1, and saved: run again with --resume to go on."
    )
    assert text.splitlines()[-1] == said  # on a line of its own, below the progress bar
    assert "Traceback" not in text
    assert run_cli(*words, "--resume")[0] == 0


def test_a_second_run_in_the_folder_is_refused_until_the_first_ends(tmp_path):
    with RunFolder(tmp_path / "run").lock():
        with pytest.raises(
            RunError, match=rf"another run is writing there \(process {os.getpid()}"
        ):
            trainer_for(tmp_path, **OPTIONS).train()
        assert not (tmp_path / "run" / "recipe.yaml").exists()
    trainer_for(tmp_path, **OPTIONS).train()


def _hold_and_die(folder):
    with RunFolder(folder).lock():
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_a_dead_run_is_free(tmp_path):
    holder = multiprocessing.get_context("fork").Process(target=_hold_and_die, args=(tmp_path,))
    holder.start()
    holder.join()
    assert holder.exitcode == -signal.SIGKILL
    assert (tmp_path / ".lock").is_file()
    with RunFolder(tmp_path).lock():
        assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()
    assert not (tmp_path / ".lock").exists()


@pytest.fixture(scope="module")
def run_stopped_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, 1)
        with pytest.raises(RunStopped):
            trainer_for(folder, **OPTIONS).train()
    return folder


@pytest.fixture
def stopped_run(tmp_path, run_stopped_once):
    """The folder of a run that has saved its second step."""
    shutil.copytree(run_stopped_once / "run", tmp_path / "run")
    return tmp_path


CHANGES = {
    "recipe": ({"learning_rate": 1e-3}, "option learning_rate: was 5e-05, is 0.001"),
    "length": ({"max_steps": 5}, "option max_steps: was 4, is 5"),
    "batch": (
        {"per_device_train_batch_size": 2},
        "rows per step and domain: was 4, is 2",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_recipe_is_refused_with_a_readable_difference(stopped_run, change):
    options, line = CHANGES[change]
    with pytest.raises(RunError, match="no longer the same run") as refused:
        trainer_for(stopped_run, **{**OPTIONS, **options}, resume=True).train()
    assert line in str(refused.value)
    assert len(str(refused.value).splitlines()) == 3


def test_changed_rows_are_refused(stopped_run):
    trainer = trainer_for(stopped_run, **OPTIONS, resume=True)
    with_domains(trainer, targets=toy_domain("tweets", 51))
    with pytest.raises(RunError, match=r"data of the target: was [0-9a-f]{12}, is [0-9a-f]{12}"):
        trainer.train()


def test_a_changed_label_is_refused(stopped_run):
    trainer = trainer_for(stopped_run, **OPTIONS, resume=True)
    rows = trainer.source.train.map(
        lambda row, index: {"label": (row["label"] + (index == 3)) % 2}, with_indices=True
    )
    with_domains(trainer, sources=replace(trainer.source, train=rows))
    with pytest.raises(RunError, match="data of the source: was"):
        trainer.train()


def test_classes_in_another_order_are_refused(stopped_run):
    trainer = trainer_for(stopped_run, **OPTIONS, resume=True)
    task = type(trainer.task)(tuple(reversed(trainer.task.label_names)))
    trainer.context = replace(trainer.context, task=task)
    with pytest.raises(RunError, match="labels: was negative, positive, is positive, negative"):
        trainer.train()


def test_a_changed_tokenizer_is_refused(stopped_run):
    trainer = trainer_for(stopped_run, **OPTIONS, resume=True)
    trainer.processing_class.add_tokens(["entirely-new"])
    with pytest.raises(RunError, match="tokenizer: was"):
        trainer.train()


def test_the_same_global_batch_in_other_pieces_is_the_same_run(stopped_run):
    pieces = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    results = trainer_for(stopped_run, **OPTIONS, **pieces, resume=True).train()
    assert results["resumed"]["exact"]


def test_a_change_that_is_allowed_is_recorded(stopped_run):
    options = {**OPTIONS, "learning_rate": 1e-3, "allow_inexact_resume": True}
    results = trainer_for(stopped_run, **options, resume=True).train()
    assert results["resumed"] == {
        "step": 2,
        "exact": False,
        "notes": ["option learning_rate: was 5e-05, is 0.001"],
    }


def test_a_run_from_before_there_was_an_option_followed_its_default(stopped_run):
    path = stopped_run / "run" / "adaptation" / "fingerprint.json"
    parts = json.loads(path.read_text())
    del parts["option lr_scheduler_kwargs"]
    path.write_text(json.dumps(parts))
    arguments = {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": 1}}
    with pytest.raises(RunError, match=r"option lr_scheduler_kwargs: was \{\}, is \{'num_cycles'"):
        trainer_for(stopped_run, **OPTIONS, **arguments, resume=True).train()
    assert trainer_for(stopped_run, **OPTIONS, resume=True).train()["resumed"]["exact"]


@pytest.mark.parametrize("named", ["run/checkpoints/step-000000002", "run/checkpoints", "run"])
def test_a_named_checkpoint_of_the_run_is_gone_on_from(stopped_run, named):
    results = trainer_for(stopped_run, **OPTIONS).train(stopped_run / named)
    assert results["resumed"] == {"step": 2, "exact": True, "notes": []}


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("no/such", r"does not exist; see .*checkpoints \(it has step-000000001, step"),
        ("True", "does not exist"),
        ("other/checkpoints/step-000000002", "is no checkpoint of the run in"),
        ("run/checkpoints/step-000000001", "newest checkpoint, which alone .*step-000000002 first"),
        ("run/checkpoints/step-000000003", "cannot be used: .*manifest.json: missing"),
    ],
)
def test_a_named_checkpoint_that_the_run_would_not_take_is_refused(stopped_run, named, reason):
    checkpoints = stopped_run / "run" / "checkpoints"
    shutil.copytree(checkpoints, stopped_run / "other" / "checkpoints")
    shutil.copytree(checkpoints / "step-000000002", checkpoints / "step-000000001")
    (checkpoints / "step-000000003").mkdir()
    with pytest.raises(RunError, match=reason):
        trainer_for(stopped_run, **OPTIONS).train(resume_from_checkpoint=str(stopped_run / named))
    assert not (stopped_run / "run" / "model").exists()


def test_a_new_run_has_no_checkpoint_to_name(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(RunError, match="is no checkpoint of the run"):
        trainer_for(tmp_path, **OPTIONS).train(str(tmp_path / "run"))
    with pytest.raises(RunError, match=r"no/such: does not exist; .* \(it has none\)"):
        trainer_for(tmp_path, **OPTIONS).train("no/such")
    assert not (tmp_path / "run" / "recipe.yaml").exists()


@pytest.mark.parametrize("state", ["optimizer", "random"])
def test_missing_state_is_refused_unless_allowed_and_then_recorded(stopped_run, state):
    (stopped_run / "run" / "checkpoints" / "step-000000002" / f"{state}.safetensors").unlink()
    with pytest.raises(RunError, match=f"{state}.safetensors: missing"):
        trainer_for(stopped_run, **OPTIONS, resume=True).train()
    results = trainer_for(stopped_run, **OPTIONS, resume=True, allow_inexact_resume=True).train()
    assert not results["resumed"]["exact"]
    assert results["resumed"]["step"] == 2
    assert f"lacks its {state} state" in results["resumed"]["notes"][0]


def test_missing_weights_are_never_allowed(stopped_run):
    (stopped_run / "run" / "checkpoints" / "step-000000002" / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors: missing"):
        trainer_for(stopped_run, **OPTIONS, resume=True, allow_inexact_resume=True).train()


def test_falling_back_says_what_is_damaged_and_how_much_is_lost(tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        signal_at(patch, 3)
        with pytest.raises(RunStopped):
            trainer_for(tmp_path, **OPTIONS, save_steps=2).train()
    file = tmp_path / "run" / "checkpoints" / "step-000000004" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    results = trainer_for(tmp_path, **OPTIONS, save_steps=2, resume=True).train()
    assert results["resumed"] == {"step": 2, "exact": True, "notes": []}
    assert f"{file}: damaged" in caplog.text
    assert "2 steps are trained again" in caplog.text


def test_the_log_has_each_step_once_after_a_resume(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        signal_at(patch, 1)
        with pytest.raises(RunStopped):
            trainer_for(tmp_path, **OPTIONS).train()
    path = tmp_path / "run" / "log.jsonl"
    late = {"model": "adapted", "stage": 1, "step": 3, "loss": 1.0}
    with path.open("a") as file:
        file.write(json.dumps(late) + "\n" + '{"model": "adap')
    trainer_for(tmp_path, **OPTIONS, resume=True).train()
    lines = [json.loads(line) for line in path.open()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    assert late not in lines


def test_a_log_that_is_not_there_is_no_fault(tmp_path):
    RunLog(tmp_path / "log.jsonl", None, 1, show_bar=False).continue_from(set(), None)
    assert not (tmp_path / "log.jsonl").exists()


def _save_under_a_limit(folder, limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        CheckpointFolder(folder, 2).save(2, {}, {"model": {"w": torch.ones(100_000)}})
    except RunError as error:
        text = str(error)
        os._exit(7 if "could not be written" in text and "intact" in text else 8)
    os._exit(9)


def test_files_that_may_not_grow_leave_the_earlier_checkpoint_alone(tmp_path):
    checkpoints = CheckpointFolder(tmp_path, 2)
    checkpoints.save(1, {"step": 1}, {"model": {"w": torch.ones(3)}})
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_save_under_a_limit, args=(tmp_path, 50_000))
    child.start()
    child.join()
    assert child.exitcode == 7
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
    assert verify(tmp_path / "step-000000001") is None


def test_every_generator_goes_on_where_it_was():
    import random

    import numpy as np

    def draw():
        values = torch.rand(3).tolist(), random.random(), random.gauss(0, 1)
        return (*values, np.random.normal(), np.random.rand())

    draw()
    states = random_tensors()
    first = draw()
    load_random(states)
    assert draw() == first
    with pytest.raises(RunError, match="'python' is missing"):
        load_random({"torch": states["torch"]})


def test_one_process_agrees_with_itself():
    class Alone:
        num_processes = 1

    assert any_process(Alone(), True, False) == (True, False)


def test_a_signal_in_the_twins_last_evaluation_is_heard(tmp_path, monkeypatch):
    options = {**OPTIONS, "compare_source_only": True, "max_steps": 3}
    from nlp_adapt.training.stages import StagedTraining

    original = StagedTraining._evaluate

    def signalled(self, loop):
        original(self, loop)
        if self.name == "source_only" and loop.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(StagedTraining, "_evaluate", signalled)
        with pytest.raises(RunStopped, match="stopped by SIGTERM after step 3"):
            trainer_for(tmp_path, **options).train()
    results = trainer_for(tmp_path, **options, resume=True).train()
    assert results["source_only"]["steps"] == results["adapted"]["steps"] == 3


@pytest.mark.parametrize(
    ("options", "twin", "adapted"),
    [
        ({"stages": [{"objectives": ["task", "dann"], "steps": 2}]}, 2, 2),
        (
            {
                "stages": [
                    {"objectives": ["mlm"], "steps": 3},
                    {"objectives": ["task"], "steps": 1},
                    {"objectives": ["task", "dann"], "steps": 2},
                ]
            },
            3,
            6,
        ),
        ({"method": "auto", "max_steps": 1}, 2, 2),
        ({"method": "mlm", "max_steps": 6}, 3, 6),
    ],
)
def test_the_twin_trains_on_labels_as_long_as_the_model_does(tmp_path, options, twin, adapted):
    given = {**OPTIONS, "compare_source_only": True, "max_steps": -1, **options}
    results = trainer_for(tmp_path, **given).train()
    assert results["source_only"]["steps"] == results["cost"]["steps"]["source_only"] == twin
    assert results["adapted"]["steps"] == results["cost"]["steps"]["adapted"] == adapted
