"""Tests lie as the package does, and share what they need through tests/helpers alone."""

import ast
from pathlib import Path

import nlp_adapt

TESTS = Path(__file__).parent
PACKAGE = Path(nlp_adapt.__file__).parent
MODULES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("*.py"))
# What is tried across the package, not one room of it.
THEMES = (
    "benchmarks",
    "contract",
    "distributed",
    "docs",
    "faults",
    "recipes",
    "reports",
    "security",
)
# The contract is recorded by a program of its own, which its tests share.
SHARED = ("helpers", "contract")


def imported(tree):
    """Full names, such as tests.helpers.trainers.toy_domain."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def is_shared(name, path):
    """Whether the test module at `path` may import `name`."""
    first, *rest = name.split(".")
    if first == "tests":
        rooms = {"helpers", path.parts[0]} & set(SHARED)
        return rest[0] in rooms and not rest[1].startswith(("test_", "conftest"))
    return first != "" and not first.startswith(("test_", "conftest"))


def test_no_test_imports_another():
    trees = {path: ast.parse((TESTS / path).read_text()) for path in MODULES}
    wrong = [f"{path}: {name}" for path in MODULES for name in imported(trees[path])
             if not is_shared(name, path)]  # fmt: skip
    assert wrong == []


def test_folders_are_those_of_the_package():
    folders = {path.parent for path in MODULES if path.name.startswith("test_")}
    rooms = [one for one in folders if one.parts and one.parts[0] not in THEMES]
    assert [one for one in rooms if not (PACKAGE / one).is_dir()] == []


def test_helpers_lie_in_their_folder():
    own = ("test_", "conftest.py", "__init__.py")
    strays = [path for path in MODULES if not path.name.startswith(own)]
    assert {path.parts[0] for path in strays} <= set(SHARED)
    assert [path for path in MODULES if path.match("helpers/**/test_*.py")] == []
