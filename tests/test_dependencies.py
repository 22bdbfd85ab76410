"""Every dependency has an upper bound, and `constraints-lowest.txt` holds the lower ones."""

import re
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


def test_the_lowest_versions_are_those_that_are_allowed():
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    lowest = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert lowest.keys() == {name for name, *_ in bounds()}
    for name, low, _ in bounds():
        assert version(lowest[name]) == version(low), name
