"""Every pattern that reads text of others takes time in proportion to it."""

import importlib
import pkgutil
import re
import signal

import pytest

import nlp_adapt

LENGTH = 200_000
# What patterns of this kind stumble over: openings that nothing closes, runs, and near misses.
PIECES = (
    *("<p ", "<a ", "<", "&#", "@", "#", "a@", "a.", "a@a.-", "http://", "http://.", "www.", "://"),
    *(
        "?token=",
        "&key=",
        "hf_",
        "api_org_",
        "hf_a",
        "0",
        "1",
        "1.",
        ".1",
        "1e",
        "+",
        "-",
        "B-",
        "-B",
    ),
    *(
        " ",
        "\t",
        "a",
        "a ",
        "a-",
        "A",
        "`",
        "*",
        ".",
        "_",
        "label_",
        "label_1",
        "'s",
        "\u00c3",
        "w .",
    ),
    *("train-", ".train", "a/", "config:", "null", "1.0", "1,", "\u2019"),
)
HANGS = 20  # seconds: quadratic time takes minutes


def patterns():
    """Every compiled pattern of the package, in a module or in a collection of one, by its place."""
    for found in pkgutil.walk_packages(nlp_adapt.__path__, "nlp_adapt."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            for key, one in inner:
                one = getattr(one, "__self__", one)
                if isinstance(one, re.Pattern):
                    yield f"{found.name}.{name}{f'[{key}]' if key else ''}", one


def hangs(signum, frame):
    raise TimeoutError


@pytest.fixture
def alarm():
    before = signal.signal(signal.SIGALRM, hangs)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_every_pattern_reads_its_worst_case(alarm):
    known = dict(patterns())
    assert len(known) > 20
    slow = []
    for name, pattern in known.items():
        for piece in PIECES:
            run = (piece * LENGTH)[:LENGTH]
            text = run if isinstance(pattern.pattern, str) else run.encode()
            end = "\x01" if isinstance(text, str) else b"\x01"
            signal.alarm(HANGS)
            try:
                pattern.search(text + end)
                pattern.fullmatch(text + end)
                pattern.sub("" if isinstance(text, str) else b"", text)
            except TimeoutError:
                slow.append((name, piece))
            signal.alarm(0)
    assert not slow


def test_a_pattern_of_quadratic_time_is_noticed(alarm):
    signal.alarm(1)
    with pytest.raises(TimeoutError):
        re.compile(r"<p[^>]*>").search("<p " * LENGTH)
