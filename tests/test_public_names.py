"""What the documentation calls public is named by the package."""

import importlib
import re
from pathlib import Path

import pytest

import nlp_adapt

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "python.md"


def test_every_documented_name_is_public_and_the_same_object():
    documented = dict(
        reversed(path.rsplit(".", 1))
        for path in re.findall(
            r"^::: (nlp_adapt\.[\w.]+\.\w+)$", REFERENCE.read_text(), re.MULTILINE
        )
    )
    for name, home in documented.items():
        assert getattr(nlp_adapt, name) is getattr(importlib.import_module(home), name)
    assert set(nlp_adapt.__all__) - set(documented) == {
        "AdaptationConfig", "AdaptationError", "Recipe"
    }  # fmt: skip
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nlp_adapt.nothing  # noqa: B018
