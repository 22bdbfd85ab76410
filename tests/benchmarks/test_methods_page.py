"""The page of the methods benchmark: equal pairs and seeds on both sides, and honest yardsticks."""

import math

import pytest
from scipy.stats import t

from tests.helpers.scripts import scripts_on_path

SUITE = {
    "heading": "Methods", "measure": "macro_f1", "title": "Macro-F1", "held_out": "test rows",
    "precision": ("macro_precision",), "recall": ("macro_recall",),
}  # fmt: skip


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    with scripts_on_path(monkeypatch):
        yield


def run(method: str, pair: str, macro_f1: float, seed: int = 1, code: str = "abc", **scores):
    source, target = pair.split(">")
    return {
        "method": method, "seed": seed, "source": source, "target": target, "encoder": "small",
        "code": code, "set": {}, "scores": {"macro_f1": macro_f1, **scores}, "versions": {},
        "machine": {}, "precision": "fp32",
    }  # fmt: skip


def page_of(runs):
    from methods_page import report

    return report(SUITE, "small", "python it", runs)


def rows_of(page: str, section: str = "") -> dict[tuple[str, ...], list[str]]:
    """Cells of a section's table by the first two."""
    text = page.split(section)[-1] if section else page
    lines = [line.strip("| ").split(" | ") for line in text.split("\n## ")[0].split("\n")]
    return {tuple(cells[:2]): cells for cells in lines if len(cells) > 2 and "---" not in cells}


def test_a_gain_counts_against_the_best_yardstick():
    runs = [
        run("source_only", "a>b", 0.60), run("source_only", "b>a", 0.80),
        run("twin_of_auto", "a>b", 0.63, oracle={"macro_f1": 0.75}),
        run("twin_of_auto", "b>a", 0.80, oracle={"macro_f1": 0.81}),
        run("auto", "a>b", 0.705), run("auto", "b>a", 0.795), run("target_trained", "b>a", 0.9),
    ]  # fmt: skip
    page = page_of(runs)
    gains = rows_of(page, "## Gains")
    best = gains["auto", "**twin_of_auto**"]
    width = 100 * t.ppf(0.975, 1) * 0.08 / math.sqrt(2) / math.sqrt(2)
    interval = f"{3.5 - width:+.1f} to {3.5 + width:+.1f}"
    assert best[2:] == ["2", "+3.5", interval, "+3.5", "b to a -0.5", "0", "no"]
    assert gains["auto", "source_only"][3] == "+5.0"
    assert gains["auto", "twin_of_auto, best threshold"][3] == "-3.0"
    assert not any(cells[0] != "auto" for cells in gains.values() if cells[0] != "method")
    assert page.index("| b to a |") < page.index("| a to b |")
    assert "**Unfinished:** target_trained lack some of 2 pairs" in page


def test_a_gain_on_every_pair_counts():
    pairs = ["a>b", "b>a", "a>c", "c>a"]
    before = [run("source_only", pair, 0.6 + place / 100) for place, pair in enumerate(pairs)]
    after = [run("mcc", pair, 0.7 + place / 90) for place, pair in enumerate(pairs)]
    assert rows_of(page_of(before + after), "## Gains")["mcc", "**source_only**"][-1] == "yes"


def test_every_column_has_the_same_seeds_or_says_so():
    def seeds(method, numbers, value):
        return [
            run(method, pair, value + seed / 10, seed)
            for pair in ("a>b", "b>a")
            for seed in numbers
        ]

    runs = [*seeds("source_only", (1, 2, 3), 0.1), *seeds("auto", (2, 3, 4), 0.2)]
    runs += seeds("mcc", (2,), 0.3)
    page = page_of(runs)
    scores = rows_of(page)
    assert scores["source_only", "4"][2].startswith("35.0")
    assert scores["auto", "4"][2].startswith("45.0")
    assert scores["mcc", "2"][2] == "50.0"
    assert "**Unfinished:** mcc lack" in page
    assert "**2 of at least three seeds:**" in page
    gains = rows_of(page, "## Gains")
    assert gains["auto", "**source_only**"][2:4] == ["4", "+10.0"]
    assert gains["mcc", "**source_only**"][2:4] == ["2", "+20.0"]


def test_other_code_stands_apart():
    runs = [
        run("auto", "a>b", 0.9, code="old"), run("source_only", "a>b", 0.5),
        run("auto", "a>b", 0.6), {**run("auto", "a>b", 0.1), "encoder": "large"},
    ]  # fmt: skip
    page = page_of(runs)
    assert "Code: `abc`" in page
    assert rows_of(page)["auto", "1"][2] == "60.0"
    assert rows_of(page, "## Other code or settings")["auto", "old"][4] == "90.0"


def test_lines_of_before_the_hash_are_read_and_marked(tmp_path):
    from benchmark_runs import append, read_runs

    file = tmp_path / "x.runs.jsonl"
    old = {"method": "source_only", "seed": 1, "source": "a", "target": "b", "suite": "snippets"}
    made = {"versions": {}, "machine": {}, "precision": "bf16"}
    append(file, [{**old, "macro_f1": 0.7, "auc": 0.8, "best_macro_f1": 0.75, **made}])
    with file.open("a") as torn:
        torn.write('{"method": "au')
    append(file, [run("source_only", "a>b", 0.6)])
    first, second = read_runs(file)
    assert first["code"] == "older code"
    assert first["scores"] == {"macro_f1": 0.7, "auc": 0.8, "oracle": {"macro_f1": 0.75}}
    assert second["scores"] == {"macro_f1": 0.6}
    alone = page_of([{**first, "encoder": "small"}])
    assert "Code: **older code** than this page knows" in alone
    assert rows_of(alone)["source_only", "1"][2:] == ["70.0", "70.0", "75.0", "80.0"]


def test_pairs_of_the_suite_that_nobody_has_measured_are_named():
    from methods_page import report

    runs = [run("source_only", "a>b", 0.6)]
    page = report({**SUITE, "pairs": [("a", "b"), ("b", "a")]}, "small", "python it", runs)
    assert "**1 of 2 pairs not measured:** b to a." in page
    assert "not measured" not in page_of(runs)


def test_the_area_under_the_curve_is_shown_where_there_is_one():
    runs = [
        run("source_only", "a>b", 0.6, auc=0.9), run("source_only", "b>a", 0.7, auc=0.8),
        run("mcc", "a>b", 0.5, auc=0.94),
    ]  # fmt: skip
    page = page_of(runs)
    assert rows_of(page, "## Gains")["mcc", "**source_only**"][-1] == "+4.0"
    areas = rows_of(page, "## Area under the ROC curve, by pair")
    assert areas["a to b", "90.0"][2] == "94.0"
