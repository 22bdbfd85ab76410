"""What is told of an error that a library raises."""

import pytest

from nlp_adapt.errors import first_line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no such device.\nat line 3"), "no such device"),
        (RuntimeError("\n\n  gloo: closed  \nmore"), "gloo: closed"),
        (AssertionError(), "AssertionError"),
        (OSError(" \n"), "OSError"),
    ],
)
def test_the_first_line_says_something(error, said):
    assert first_line(error) == said
