"""One short run on a toy domain, shared by the tests that look at it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def train_words(
    tiny_model_dir: Path, toy_source_csv: Path, toy_target_jsonl: Path
) -> Sequence[object]:
    """`nlp-adapt train` on the toy domain, without an output folder."""
    return (
        *("train", "--model", tiny_model_dir, "--source", toy_source_csv),
        *("--target", toy_target_jsonl, "--target-test", toy_target_jsonl),
        *("--max-steps", 4, "--per-device-train-batch-size", 8, "--learning-rate", "1e-3"),
        *("--precision", "fp32", "--max-length", 32, "--logging-steps", 1, "--disable-tqdm"),
        *("--method", "dann", "--options.dann.lambda_max", 0.5),
    )


@pytest.fixture(scope="session")
def toy_run(train_words: Sequence[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    from nlp_adapt.cli import main

    folder = tmp_path_factory.mktemp("runs") / "toy"
    assert main([str(word) for word in (*train_words, "--output-dir", folder)]) == 0
    return folder
