"""Values that nobody would write in the place of those that are there."""

import copy
import random

from nlp_adapt.errors import AdaptationError

HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m"
ODD = (
    *(None, True, -1, 10**400, float("nan"), float("inf"), 1e308, "", HOSTILE, "9" * 5_000),
    *([], [1], [[]], {}, {"a": 1}, "\ud800"),
)
MOST = 40


def places(value, at=()):
    """The way to each value; of a list, to its first two."""
    if at:
        yield at
    held = value.items() if isinstance(value, dict) else ()
    for key, one in enumerate(value[:2]) if isinstance(value, list) else held:
        yield from places(one, (*at, key))


def changed(values, at, odd):
    """A copy with an odd value in one place, or without the place."""
    found = copy.deepcopy(values)
    holder = found
    for key in at[:-1]:
        holder = holder[key]
    if odd is Ellipsis:
        del holder[at[-1]]
    else:
        holder[at[-1]] = odd
    return found


def changes(values, most=MOST):
    """A sample of all changes to some values, the same each time."""
    ways = [(at, odd) for at in places(values) for odd in (*ODD, ...)]
    for at, odd in random.Random(7).sample(ways, min(most, len(ways))):
        yield changed(values, at, odd)


def outcome(call):
    """What a call returns, or the sentence that it was refused with; a traceback is neither."""
    try:
        return call()
    except AdaptationError as error:
        found = error
    assert "\n" not in str(found)
    assert len(str(found)) < 5_000
    return found
