"""Runs of the first release are read by today's commands, with the answers of then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.first_release import FOLDER, answers
from tests.contract.surface import stored

EXPECTED = stored("first_release")
NEW = {"auc", "oracle"}  # what evaluate tells besides, since then


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return answers(tmp_path_factory.mktemp("release"))


def same(found: Any, expected: Any) -> bool:
    """Equal, but for numbers, which rounding may change a little."""
    if isinstance(expected, dict):
        return found.keys() - NEW == expected.keys() - NEW and all(
            same(found[key], expected[key]) for key in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return found == pytest.approx(expected, abs=1e-4)
    return found == expected


@pytest.mark.parametrize("question", EXPECTED)
def test_the_answer_is_as_it_was(found: dict[str, Any], question: str) -> None:
    assert same(found[question], EXPECTED[question]), found[question]


def test_every_answer_is_checked(found: dict[str, Any]) -> None:
    assert list(found) == list(EXPECTED)


@pytest.mark.parametrize("run", ["sentiment", "tagger"])
def test_python_opens_them_too(run: str) -> None:
    from nlp_adapt.inference import load_predictor

    predictor = load_predictor(FOLDER / run)
    assert len(predictor.predict(["anna saw a great film", "rome"])) == 2
