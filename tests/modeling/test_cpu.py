"""Freed memory is reused instead of being fetched from the system again, page by page."""

import platform
import subprocess
import sys

import pytest

from nlp_adapt.modeling import cpu

PROGRAM = """
import resource, torch
from nlp_adapt.modeling.cpu import keep_freed_memory

def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(size // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(40_000_000)
plain = faults(40_000_000)
assert keep_freed_memory() and keep_freed_memory()
faults(40_000_000)
faults(40_000_000)
print(plain, faults(40_000_000))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_blocks_are_not_fetched_page_by_page_again():
    """In a process of its own: the setting stays."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120
    )
    plain, kept = map(int, run.stdout.split())
    assert kept < plain / 4


def test_without_glibc_nothing_happens(monkeypatch):
    cpu.keep_freed_memory.cache_clear()
    monkeypatch.setattr(cpu.ctypes, "CDLL", lambda name: object())
    try:
        assert cpu.keep_freed_memory() is False
    finally:
        cpu.keep_freed_memory.cache_clear()
