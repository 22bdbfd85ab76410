"""A run that is killed at any file operation, and resumed, ends as if nothing had happened."""

import pytest

from tests.helpers.crash_points import outcomes


def check(found):
    assert found["outcomes"]
    saved = False
    for place, outcome in found["outcomes"].items():
        assert outcome["killed"] == -9, place
        assert outcome["resumed"] == 0, place
        assert outcome["ended"] == found["expected"], place
        saved = saved or bool(outcome["whole"])
    return saved


def test_a_few_instants(tmp_path):
    """In the midst of a tensor file, of a rotation, and of the tidying up at the end."""
    assert check(outcomes(tmp_path, 61, 125, -3))


@pytest.mark.crash
def test_every_instant(tmp_path):
    found = outcomes(tmp_path)
    check(found)
    # Once the first checkpoint is in place there is a whole one at every instant until the end.
    whole = [bool(outcome["whole"]) for outcome in found["outcomes"].values()]
    first, last = whole.index(True), len(whole) - whole[::-1].index(True)
    assert all(whole[first:last])
    assert last - first > 100
