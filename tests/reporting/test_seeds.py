"""The spread over seeds: of the same run alone, in the card and from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlp_adapt.errors import ConfigError, RunError
from nlp_adapt.recipe import Recipe, dump_recipe
from nlp_adapt.reporting.runs import collect_seeds, seed_rows, seed_sentence

Cli = Callable[..., tuple[int, str, str]]


def save(folder: Path, seed: int, target: float | None, **options: Any) -> Path:
    """A finished run whose twin scores 0.70 on the target."""
    (folder / "model").mkdir(parents=True)
    results = {
        "task": "sequence-classification",
        "method": "dann",
        "model": "roberta-base",
        "seed": seed,
        "labels": ["negative", "positive"],
        "fingerprints": {"source": "a", "target": "b"},
        "source": {"name": "films", "rows": {"train": 90}},
        "target": {"name": "tweets", "rows": {"train": 80}},
        "source_only": {"source": {"macro_f1": 0.9}, "target": target and {"macro_f1": 0.7}},
        "adapted": {"source": {"macro_f1": 0.88}, "target": target and {"macro_f1": target}},
    }
    recipe = Recipe(source="films.csv", seed=seed, output_dir=str(folder), **options)
    (folder / "results.json").write_text(json.dumps(results))
    dump_recipe(recipe, folder / "recipe.yaml")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [save(tmp_path / str(seed), seed, 0.69 + seed / 100) for seed in (0, 2, 4)]


def test_the_spread_is_that_of_the_seeds(runs: list[Path]) -> None:
    results = json.loads((runs[0] / "results.json").read_text())
    results["seeds"] = collect_seeds(runs[0], runs[1:])
    header, *rows = seed_rows(results)
    assert header == ["macro-F1, 3 seeds", "mean", "standard deviation", "lowest", "highest"]
    assert rows == [
        ["source-only on source", "90.0", "0.0", "90.0", "90.0"],
        ["dann on source", "88.0", "0.0", "88.0", "88.0"],
        ["difference on source", "-2.0", "0.0", "-2.0", "-2.0"],
        ["source-only on target", "70.0", "0.0", "70.0", "70.0"],
        ["dann on target", "71.0", "2.0", "69.0", "73.0"],
        ["difference on target", "1.0", "2.0", "-1.0", "3.0"],
    ]
    sentence = seed_sentence(results)
    assert "seeds 0, 2, 4" in sentence
    assert "higher on the target in 2 of 3" in sentence


def test_one_run_has_no_spread(runs: list[Path]) -> None:
    results = json.loads((runs[0] / "results.json").read_text())
    assert seed_rows(results) == []
    assert seed_sentence(results) == "One run with seed 0; other seeds give other numbers."


def test_unlabelled_targets_have_no_spread(tmp_path: Path) -> None:
    first, second = (save(tmp_path / str(seed), seed, None) for seed in (1, 2))
    results = json.loads((first / "results.json").read_text())
    results["seeds"] = collect_seeds(first, [second])
    assert [row[0] for row in seed_rows(results)[1:]] == [
        "source-only on source", "dann on source", "difference on source",
    ]  # fmt: skip
    assert "higher on the target" not in seed_sentence(results)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"learning_rate": 1e-3}, "differs from .* in learning_rate: runs whose spread"),
        ({"seed": 2}, "has seed 2, as a run before it"),
        ({"lambda_max": 0.5, "max_length": 9}, "in lambda_max, max_length"),
    ],
)
def test_other_runs_are_refused(
    runs: list[Path], tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    other = save(tmp_path / "other", change.pop("seed", 9), 0.7, **change)
    with pytest.raises(ConfigError, match=says):
        collect_seeds(runs[0], [runs[1], other])


def test_other_data_is_refused(runs: list[Path]) -> None:
    path = runs[1] / "results.json"
    path.write_text(path.read_text().replace('"target": "b"', '"target": "c"'))
    with pytest.raises(ConfigError, match="in fingerprints"):
        collect_seeds(runs[0], runs[1:])


def test_an_unfinished_run_is_refused(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no readable results\.json"):
        collect_seeds(runs[0], [tmp_path])


def test_the_command_writes_card_and_results(run_cli: Cli, runs: list[Path]) -> None:
    code, out, err = run_cli("card", runs[0], "--seeds", *runs[1:])
    assert code == 0, err
    assert "difference on target" in out
    card = (runs[0] / "model" / "README.md").read_text()
    assert "| dann on target | 71.0 | 2.0 | 69.0 | 73.0 |" in card
    assert "the weights are those of seed 0" in card
    assert len(json.loads((runs[0] / "results.json").read_text())["seeds"]) == 3
    (runs[0] / "model" / "README.md").unlink()
    code, out, _ = run_cli("card", runs[0], "--json")  # what was found out stays
    assert code == 0
    assert len(json.loads(out)["seeds"]) == 3
    assert "71.0" in (runs[0] / "model" / "README.md").read_text()
    assert run_cli("card", runs[0].parent)[0] == 2


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        ({"target_few_shot": 5}, False),
        ({"target_few_shot": {"tweets": 5}}, False),
        ({"target_few_shot": "few.csv"}, True),
        ({}, True),
    ],
)
def test_rows_that_the_seed_draws_may_differ(
    tmp_path: Path, options: dict[str, Any], differs: bool
) -> None:
    runs = [save(tmp_path / str(seed), seed, 0.7, **options) for seed in (1, 2)]
    for seed, run in enumerate(runs):
        results = json.loads((run / "results.json").read_text())
        results["fingerprints"]["labelled rows of tweets"] = str(seed)
        (run / "results.json").write_text(json.dumps(results))
    if differs:
        with pytest.raises(ConfigError, match=r"differs from .* in fingerprints"):
            collect_seeds(runs[0], runs[1:])
    else:
        assert len(collect_seeds(runs[0], runs[1:])) == 2
