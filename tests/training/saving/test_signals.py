"""Signals while a run trains."""

import signal

import pytest

from nlp_adapt.cli import console
from nlp_adapt.training.saving import signals
from nlp_adapt.training.saving.signals import StopRequest


def test_a_second_signal_ends_at_once():
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_launchers_echo_is_not_a_second_signal(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    now = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    with StopRequest() as stop:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        assert stop.received == signal.SIGINT
        now[0] += 3
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_one_of_several_processes_ends_deaf_to_signals(monkeypatch):
    """So that what it says is not cut off."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        with pytest.raises(console.Stopped), console.tidying_up_after_signals():
            signal.raise_signal(signal.SIGTERM)
        for number in numbers:
            signal.raise_signal(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
