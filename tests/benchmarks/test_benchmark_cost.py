"""The cost benchmark: its arithmetic, its fitted model, and the whole of it on toys."""

import json
import sys

import numpy as np
import pytest

from tests.helpers.scripts import SCRIPTS, scripts_on_path
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer

FACTORS = {
    "products of matrices": 2.0,
    "token states": 30.0,
    "attention scores": 9.0,
    "weights": 1.5,
    "each layer, whatever its size": 0.7,
}
FLOPS, WIDTH = 5e11, 1e10


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    with scripts_on_path(monkeypatch):
        yield


@pytest.fixture
def tokenizer(tmp_path):
    tiny_model().save_pretrained(tmp_path / "tokenizer")
    tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    return str(tmp_path / "tokenizer")


def line_of(point, seconds, precision="bf16"):
    from dataclasses import asdict

    return {
        "part": "steps", "what": point.key(), "point": asdict(point), "precision": precision,
        "seconds": seconds, "wall": seconds, "tokens": point.tokens, "ceiling_flops": FLOPS,
        "ceiling_bytes": WIDTH, "parameters": 100, "peak_mib": 9.0, "before_mib": 1.0, "profile": None,
        "code": "abc", "seed": 1, "torch": "2", "machine": "toy", "date": "2026-01-01",
        "load": [1.0, 2.0], "command": "python scripts/benchmark_cost.py",
    }  # fmt: skip


def law_abiding_lines():
    from cost.fit import CostModel
    from cost.points import GRID

    law = CostModel(FACTORS)
    return [line_of(point, law.seconds(point, FLOPS, WIDTH)) for point in GRID]


def test_the_arithmetic_counts_what_the_encoder_has_and_does(tokenizer, tmp_path):
    import torch
    from cost import arithmetic
    from cost.points import Point, save_encoder
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModel

    point = Point(2, 32, 16, 3, vocabulary=500)
    folder = save_encoder(point, tiny_tokenizer(), tmp_path / "encoder")
    model = AutoModel.from_pretrained(folder, attn_implementation="eager")
    assert arithmetic.parameters(point) == model.num_parameters()
    with FlopCounterMode(display=False) as counter:
        model(torch.ones(2 * point.rows, point.length, dtype=torch.long))
    pooler = 2 * (2 * point.rows) * point.hidden**2
    assert counter.get_total_flops() == arithmetic.flops(point, times=1) + pooler


def test_the_model_of_cost_finds_a_law_and_foretells_what_it_never_saw():
    from cost.fit import errors, fit, fitted_and_held_out, foretell

    fitted, held_out = fitted_and_held_out(law_abiding_lines())
    assert held_out
    assert not [line for line in fitted if line["point"]["held_out"]]
    model = fit(fitted)
    assert model.factors == pytest.approx(FACTORS, rel=1e-4)
    assert errors(foretell(model, held_out))[1] < 1e-4


def test_too_few_points_are_said_on_the_page_and_refused_by_foretell(tmp_path):
    from cost.page import foretold_run, report

    few = law_abiding_lines()[:3]
    assert "Not fitted: 2 points cannot settle 5 factors" in report(
        few[:2], {}, tmp_path / "cost.md"
    )
    with pytest.raises(ValueError, match="measure more"):
        foretold_run(few, ["layers=6"])


def test_a_run_is_foretold_and_wrong_keys_are_named():
    from cost.page import foretold_run

    lines = law_abiding_lines()
    said = foretold_run(lines, ["layers=6", "hidden=384", "length=64", "rows=16", "steps=100"])
    seconds = lines[0]["seconds"]
    assert f"{100 * seconds / 60:,.1f} minutes" in said
    with pytest.raises(ValueError, match="heads=3: write whole numbers for layers"):
        foretold_run(lines, ["heads=3"])


def test_what_is_lost_is_a_step_without_its_products_at_the_ceiling():
    from cost import arithmetic
    from cost.losses import losses
    from cost.points import Point

    point = Point()
    ideal = arithmetic.flops(point) / FLOPS
    line = line_of(point, 4 * ideal)
    line["profile"] = {"kinds": {"matrix products": 30.0, "softmax": 10.0}}
    found = losses(line)
    assert list(found) == ["products, beyond their time at the ceiling", "softmax"]
    assert sum(found.values()) == pytest.approx(3000 * ideal)


def test_eight_cards_send_gradients_and_small_models_wait_for_the_host():
    from cost.paper import RUNS, on_paper

    one, eight = on_paper(RUNS[-1], 1), on_paper(RUNS[-1], 8)
    assert one.sent == 0 < eight.sent
    assert eight.seconds == pytest.approx(one.seconds + eight.sent)
    small = on_paper(RUNS[0], 1)
    assert small.seconds == small.host
    assert small.share < one.share < 0.5


def test_toys_go_through_once_and_make_a_page(tmp_path, tokenizer, monkeypatch):
    import benchmark_cost

    out = tmp_path / "cost.md"
    for name in ("source", "target"):
        rows = [{"text": f"word{i} word{i % 7}", "label": ("no", "yes")[i % 2]} for i in range(60)]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    monkeypatch.setattr(benchmark_cost, "forked", lambda work, *given: work(*given))
    words = ["benchmark_cost.py", "--toy", "--out", out, "--tokenizer", tokenizer, "--rounds", 1]
    words += ["--steps", 1, "--profile", 1, "--warm_up", 1, "--rows", 40, "--batches", 2]
    words += ["--model", tokenizer, "--source", tmp_path / "source.jsonl", "--train_steps", 1]
    words += ["--target", tmp_path / "target.jsonl", "--texts", 8]
    monkeypatch.setattr(sys, "argv", [*map(str, words)])
    benchmark_cost.main()
    lines = [json.loads(line) for line in (tmp_path / "cost.runs.jsonl").read_text().splitlines()]
    assert [line["part"] for line in lines] == ["steps"] * 6 + ["rows", "prediction"]
    for line in lines[:6]:
        assert line["tokens"] == 2 * line["point"]["rows"] * line["point"]["length"]
        assert np.isfinite([*line["losses"], line["seconds"], line["ceiling_flops"]]).all()
        assert line["peak_mib"] >= line["before_mib"]
        assert line["profile"]["kinds"]["matrix products"] > 0
    page = out.read_text()
    titles = ("Training steps", "Where the rest goes", "A model of the cost", "Rows", "Prediction")
    assert [page.index(f"## {title}") for title in titles] == sorted(
        map(page.index, (f"## {t}" for t in titles))
    )
    assert "points **held out** (1)" in page
    # Nothing is measured twice.
    monkeypatch.setattr(benchmark_cost, "forked", None)
    benchmark_cost.main()
    assert out.read_text() == page


def test_the_page_in_the_tree_is_what_its_lines_say():
    from benchmark_runs import read_lines
    from cost.page import report

    page = SCRIPTS.parent / "docs" / "benchmarks" / "cost.md"
    lines = read_lines(page.with_suffix(".runs.jsonl"))
    names = {name: page.with_name(f"cost.{name}.png") for name in ("foretold", "kinds")}
    drawn = {name: path.name for name, path in names.items() if path.is_file()}
    assert report(lines, drawn, page) == page.read_text(encoding="utf-8")
