"""Every pattern that reads text of others takes time in proportion to it."""

import importlib
import inspect
import pkgutil
import re
import signal

import pytest

import nlp_adapt

LENGTH = 200_000
# What patterns of this kind stumble over: openings that nothing closes, runs, and near misses.
PIECES = (
    *("<p ", "&#", "@", "a@a.-", "http://.", "://", "?token=", "hf_a", "1", "1.", "B-", " "),
    *("a", "a-", "`", "label_1", "\u00c3", "train-"),
)
HANGS = 20  # seconds: quadratic time takes minutes
EXTRAS = ("ray",)  # which a module needs to be imported at all
METHODS = ("search", "match", "fullmatch", "finditer", "findall", "split", "sub")


def patterns():
    """Every compiled pattern of the package by its place, with the methods that are called of it."""
    for found in pkgutil.walk_packages(nlp_adapt.__path__, "nlp_adapt."):
        if found.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            continue
        source = inspect.getsource(module)
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                used = [one for one in METHODS if f"{name}.{one}(" in source]
                yield f"{found.name}.{name}", value, used
            for key, one in value.items() if isinstance(value, dict) else ():
                if isinstance(getattr(one, "__self__", None), re.Pattern):
                    yield f"{found.name}.{name}[{key}]", one.__self__, [one.__name__]


def read(pattern, method, text):
    if method == "sub":
        pattern.sub("", text)
    else:
        for _ in getattr(pattern, method)(text) if method in ("finditer", "findall") else ():
            pass
        if method not in ("finditer", "findall"):
            getattr(pattern, method)(text)


def hangs(signum, frame):
    raise TimeoutError


@pytest.fixture
def alarm():
    before = signal.signal(signal.SIGALRM, hangs)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_every_pattern_reads_its_worst_case(alarm):
    known = list(patterns())
    assert len(known) > 20
    slow = []
    for name, pattern, methods in known:
        for piece in PIECES if isinstance(pattern.pattern, str) else ():
            text = (piece * LENGTH)[:LENGTH] + "\x01"
            for method in methods:
                signal.alarm(HANGS)
                try:
                    read(pattern, method, text)
                except TimeoutError:
                    slow.append((name, method, piece))
                    break
                finally:
                    signal.alarm(0)
    assert not slow


def test_a_pattern_of_quadratic_time_is_noticed(alarm):
    # A million openings: hours on any machine, so the alarm rings first however fast it is.
    signal.alarm(1)
    with pytest.raises(TimeoutError):
        re.compile(r"<p[^>]*>").search("<p " * 1_000_000)
