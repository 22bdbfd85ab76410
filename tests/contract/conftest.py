"""The runs of the contract, made once in each process that tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.contract.runs import make_runs, working_in, write_words


@pytest.fixture(scope="session")
def workshop(
    tiny_model_dir: Path,
    toy_source_csv: Path,
    toy_target_jsonl: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with the tiny model and data for both tasks."""
    folder = tmp_path_factory.mktemp("contract")
    shutil.copytree(tiny_model_dir, folder / "bert")
    shutil.copy(toy_source_csv, folder / "reviews.csv")
    shutil.copy(toy_target_jsonl, folder / "tweets.jsonl")
    write_words(folder / "news.conll", ("saw", "met", "of"))
    write_words(folder / "posts.conll", ("lol", "omg", "via"), tagged=False)
    write_words(folder / "gold.conll", ("lol", "omg", "via"))
    return folder


@pytest.fixture(scope="session")
def exit_codes(workshop: Path) -> dict[str, int]:
    """Every run made in the workshop, and how each ended."""
    with working_in(workshop):
        return make_runs()


@pytest.fixture(scope="session")
def made(workshop: Path, exit_codes: dict[str, int]) -> Path:
    """The folder that holds the runs."""
    return workshop
