"""Every dependency has bounds, and both files of constraints keep them."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def bounds():
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE).group(1)
    return [re.fullmatch(r"([\w-]+)>=([\d.]+),<([\d.]+)", one).groups()
            for one in re.findall(r'"(.+)"', listed)]  # fmt: skip


def version(text):
    parts = [int(part) for part in text.split(".")]
    return parts + [0] * (3 - len(parts))


def test_every_dependency_has_bounds_on_both_sides():
    assert len(bounds()) > 10
    for name, low, high in bounds():
        assert version(low) < version(high), name


def pinned(name):
    """Versions by package, once for each Python that has its own."""
    lines = (ROOT / name).read_text().splitlines()
    return [line.split(";")[0].strip().split("==")
            for line in lines if line and not line.startswith("#")]  # fmt: skip


def test_the_lowest_versions_are_those_that_are_allowed():
    lowest = dict(pinned("constraints-lowest.txt"))
    assert lowest.keys() == {name for name, *_ in bounds()}
    for name, low, _ in bounds():
        assert version(lowest[name]) == version(low), name


def test_all_that_is_imported_is_declared():
    project = (ROOT / "pyproject.toml").read_text()
    declared = {
        name.lower().replace("-", "_") for name in re.findall(r'"([\w-]+)(?:\[\w+\])?>=', project)
    }
    trees = [ast.parse(path.read_text()) for path in (ROOT / "nlp_adapt").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    packages = {name.partition(".")[0] for name in named} - sys.stdlib_module_names - {"nlp_adapt"}
    declared |= {"trackio", "wandb"}  # the user's own trackers, named by report_to
    called = {"sklearn": "scikit_learn", "yaml": "pyyaml"}
    assert sorted({called.get(name, name) for name in packages} - declared) == []


def test_extras_have_upper_bounds_too():
    project = (ROOT / "pyproject.toml").read_text()
    extras = project.partition("[project.optional-dependencies]")[2].partition("[project.scripts]")[
        0
    ]
    listed = re.findall(r'"([\w-]+(?:\[\w+\])?[^"]*)"', extras)
    assert len(listed) > 15
    assert [one for one in listed if ",<" not in one] == ["setuptools>=77"]


def test_the_usual_versions_are_allowed():
    usual = [(name.replace("-", "_"), value) for name, value in pinned("constraints.txt")]
    for name, low, high in bounds():
        found = [version(value) for key, value in usual if key == name.replace("-", "_")]
        assert found, name
        assert all(version(low) <= one < version(high) for one in found), name


def test_the_lowest_versions_are_tested_with_every_change():
    assert "scripts/test_lowest.sh" in (ROOT / ".ci/run").read_text()
    assert "constraints-lowest.txt" in (ROOT / "scripts/test_lowest.sh").read_text()
