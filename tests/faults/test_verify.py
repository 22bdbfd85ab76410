"""`nlp-adapt verify` tells the state of a run."""

import json
import shutil
import signal

import pytest

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


@pytest.fixture(scope="module")
def stopped_once(words, tmp_path_factory):
    from nlp_adapt.cli import main

    folder = tmp_path_factory.mktemp("verify") / "run"
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, 1, signal.SIGTERM)
        assert main([str(word) for word in (*words, "--output_dir", folder)]) == 143
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    return shutil.copytree(stopped_once, tmp_path / "run")


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


def test_a_lost_fingerprint_lets_no_resume_be_exact(finished, run_cli):
    (finished / "adaptation" / "fingerprint.json").unlink()
    code, out, _ = run_cli("verify", finished)
    assert code == 1
    assert "fingerprint.json: missing" in out
    assert "needs allow_inexact_resume" in out
    assert "would be exact" not in out


def test_a_folder_without_a_run_is_an_error(tmp_path, run_cli):
    code, _, err = run_cli("verify", tmp_path)
    assert code == 2
    assert "holds no run" in err
