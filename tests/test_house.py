"""The package's rooms: what may import what, and how large they may grow."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "house.py"


@pytest.fixture(scope="module")
def house():
    spec = importlib.util.spec_from_file_location("house", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph(house):
    return house.imports(house.modules())


def test_every_module_stands_on_a_floor(house):
    nowhere = [name for name in house.modules() if house.floor(name) is None]
    pointers = [
        f"nlp_adapt.{name}" for name in ("evaluation_attack", "export", "inference", "tagged_text")
    ]
    assert nowhere == ["nlp_adapt", "nlp_adapt.__main__", *pointers]


def test_imports_run_down_and_never_in_circles(house, graph):
    assert house.upward(graph) == []
    assert house.circles(graph) == []


def test_what_saves_knows_no_loop_and_prediction_knows_no_training(house, graph):
    for name, targets in graph.items():
        if name.startswith("nlp_adapt.training.saving"):
            assert not {"nlp_adapt.training.loop", "nlp_adapt.training.stages"} & targets, name
        if name.startswith("nlp_adapt.prediction"):
            assert not [one for one in targets if one.split(".")[1] in ("training", "cli")], name


def test_rooms_files_and_functions_stay_small(house):
    known = house.modules()
    assert house.crowded(known) == {}
    assert house.long_files(known) == {}
    assert house.long_functions(known) == {}
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in known.values())
    assert lines <= house.MOST_LINES_IN_ALL


def test_a_circle_and_an_import_that_runs_up_are_found(house):
    graph = {
        "nlp_adapt.data.a": {"nlp_adapt.data.b"},
        "nlp_adapt.data.b": {"nlp_adapt.data.c"},
        "nlp_adapt.data.c": {"nlp_adapt.data.a", "nlp_adapt.cli.d"},
        "nlp_adapt.cli.d": {"nlp_adapt.errors"},
        "nlp_adapt.errors": set(),
    }
    assert house.circles(graph) == [[f"nlp_adapt.data.{name}" for name in "abc"]]
    assert house.upward(graph) == ["nlp_adapt.data.c -> nlp_adapt.cli.d"]


@pytest.mark.slow
def test_a_run_enters_few_files(house):
    files, _ = house.entered_by_a_run()
    assert len(files) <= house.MOST_ENTERED
