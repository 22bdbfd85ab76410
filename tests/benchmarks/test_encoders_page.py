"""The page of encoders: worst first, over the pairs that every row has."""

import pytest

from tests.helpers.scripts import scripts_on_path


@pytest.fixture
def page(monkeypatch):
    with scripts_on_path(monkeypatch):
        import benchmark_encoders

        yield benchmark_encoders


def run(encoder, way, score, target="tweets"):
    return {
        "encoder": f"builtin:{encoder}", "way": way, "seed": 1, "source": "movie", "target": target,
        "macro_f1": score, "auc": 0.9, "best_macro_f1": 0.8, "minutes": 1.5, "code": "abc",
        "versions": {}, "machine": {}, "precision": "bf16",
    }  # fmt: skip


def test_rows_are_compared_on_the_same_pairs(page):
    assert "No run has finished" in page.report([])
    runs = [
        run("mpnet-base", "whole", 0.9),
        run("minilm-l6", "whole", 0.7),
        run("minilm-l6", "whole", 0.99, target="nyt"),
    ]
    lines = page.report(runs).splitlines()
    rows = [line for line in lines if "| all |" in line]
    assert [row.split(" | ")[3] for row in rows] == ["70.0", "90.0"]
    assert "| `minilm-l6` | whole | 99.0 | 70.0 |" in lines
    assert "| `mpnet-base` | whole |  | 90.0 |" in lines


def test_each_job_is_named_by_what_its_line_holds(page):
    found = page.jobs(["movie>tweets"], ["builtin:minilm-l6"], ["fitted", "whole"], 2)
    assert [(one["way"], one["seed"]) for one in found] == [
        ("fitted", 1), ("whole", 1), ("fitted", 2), ("whole", 2),
    ]  # fmt: skip
