"""Names, parameters, commands, flags, recipe keys and methods are those that were promised."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import nlp_adapt
from tests.contract.surface import describe, resolve, stored, surface

PROMISED = stored("surface")


@pytest.fixture(scope="module")
def offered() -> dict[str, Any]:
    return surface()


def test_the_package_exports_its_names() -> None:
    assert nlp_adapt.__all__ == list(PROMISED["package"])


@pytest.mark.parametrize("name", PROMISED["package"])
def test_an_exported_name_takes_what_it_took(name: str) -> None:
    assert describe(getattr(nlp_adapt, name)) == PROMISED["package"][name]


@pytest.mark.parametrize("path", PROMISED["documented"])
def test_a_documented_path_leads_to_what_it_did(path: str) -> None:
    assert describe(resolve(path)) == PROMISED["documented"][path]


@pytest.mark.parametrize("part", ["commands", "recipe", "methods"])
def test_nothing_is_lost_from(offered: dict[str, Any], part: str) -> None:
    for name, expected in PROMISED[part].items():
        assert offered[part][name] == expected, name
    assert list(offered[part]) == list(PROMISED[part])


class Output:
    """Standard output that fails as it is told."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["methods"], 0),
        (["--version"], 0),
        (["train", "--help"], 0),
        ([], 2),
        (["trian"], 2),
        (["train"], 2),
        (["train", "--source", "rows.csv", "--no-such-key", "1"], 2),
        (["evaluate", "nowhere", "--data", "nothing.csv"], 2),
        (["compare", "nowhere"], 2),
    ],
)
def test_exit_codes(run_cli: Any, words: list[str], code: int) -> None:
    found, _, err = run_cli(*words)
    assert found == code
    assert "Traceback" not in err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (RuntimeError, 1)])
def test_exit_codes_of_an_interrupt_and_of_a_fault(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], code: int
) -> None:
    from nlp_adapt.cli import main

    monkeypatch.setattr(sys, "stdout", Output(error))
    assert main(["methods"]) == code
