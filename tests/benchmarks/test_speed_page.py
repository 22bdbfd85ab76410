"""The speed benchmark: parts measured one at a time make one page, and memory is what it says."""

import json
import mmap
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"
ORDER = ["first", "second", "third"]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for name in [name for name in sys.modules if name == "speed" or name.startswith("speed.")]:
        del sys.modules[name]


def test_parts_are_merged_in_order_and_measured_again(tmp_path):
    from speed.page import Goal, Section, store

    page = tmp_path / "benchmarks" / "speed.md"
    late = Section("Late", "text of it\n", [Goal("speed", ">= 2", "1.5", False)], "On a machine.")
    store(late, "third", page, ORDER)
    store(Section("Early", "other text\n"), "first", page, ORDER)
    text = page.read_text()
    assert text.index("## Goals") < text.index("## Early") < text.index("## Late")
    assert "| speed | >= 2 | 1.5 | **no** |" in text
    assert "On a machine." in text
    better = replace(late, goals=[Goal("speed", ">= 2", "2.5", True)])
    store(better, "third", page, ORDER)
    text = page.read_text()
    assert "| speed | >= 2 | 2.5 | yes |" in text
    assert "1.5" not in text
    assert text.count("## Late") == text.count("## Early") == 1
    assert list(json.loads(page.with_suffix(".parts.json").read_text())) == ["third", "first"]
    assert sorted(path.name for path in page.parent.iterdir()) == ["speed.md", "speed.parts.json"]


def test_a_slow_course_takes_its_share_of_the_steps():
    from speed.timing import Course, in_turns, ratios

    taken = {"quick": 0, "slow": 0}

    def step(name):
        taken[name] += 1
        return 30.0, 40.0

    courses = {
        "quick": Course(lambda: step("quick")),
        "slow": Course(lambda: step("slow"), share=0.3),
    }
    in_turns(courses, 2, lambda course, _: course.round(10))
    assert taken == {"quick": 20, "slow": 6}
    assert courses["quick"].padding == courses["slow"].padding == 0.25
    assert ratios([4.0, 9.0], [2.0, 3.0]) == [2.0, 3.0]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_memory_is_that_of_now_and_the_peak_can_be_started_anew():
    from speed.memory import forget_peak, memory_mib, peak_mib

    before = memory_mib(CPU)
    # Straight from the system: the C library may keep what it frees, as it does in training.
    block = mmap.mmap(-1, 64 * 2**20)
    block.write(b"1" * len(block))
    assert memory_mib(CPU) - before > 50
    held = memory_mib(CPU)
    block.close()
    assert held - memory_mib(CPU) > 50
    assert peak_mib(CPU) > held - 5
    forget_peak(CPU)
    assert peak_mib(CPU) < held - 50
