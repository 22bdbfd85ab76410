"""What ends one of two processes is said in whole by both."""

import pytest

from tests.helpers.distributed.launching import launch
from tests.helpers.distributed.one_reason import SENTENCE

pytestmark = pytest.mark.distributed


@pytest.fixture
def end(tmp_path, tiny_model_dir, toy_source_csv, toy_target_jsonl):
    """What a run says that ends in this way."""

    def launched(how):
        done = launch(
            *("tests.helpers.distributed.one_reason", how, "train", "--model", tiny_model_dir),
            *("--source", toy_source_csv, "--target", toy_target_jsonl, "--max_steps", 4),
            *("--per_device_train_batch_size", 4, "--output_dir", tmp_path / "run"),
            code=1,
        )
        assert "lost another process" not in done.stderr
        assert "interrupted" not in done.stderr
        return done.stderr

    return launched


def test_a_mistake_of_the_user(end):
    said = end("FAILS")
    assert said.count(f"nlp-adapt: error: {SENTENCE}\n") == 2
    assert "nlp_adapt/training" not in said  # no traceback


def test_a_fault_of_the_program_shows_one_traceback(end):
    said = end("FAULT")
    assert said.count("IndexError: no row 3\n") == 2
    assert said.count("nlp-adapt: error: process 0 failed: IndexError: no row 3\n") == 1
    assert said.count("raise ENDS[how]") == 1


def test_the_launchers_signal_cuts_nothing_off(end):
    """It comes when process 1 has ended, while process 0 is still about to."""
    assert end("SLOW").count("nlp-adapt: stopped by SIGTERM after step ") == 2
