"""Judging the adversary in plain words."""

import json
import logging
import math

import numpy as np
import pytest

from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.reporting.adversary import adversary_health, judge_adversary, length_probe
from nlp_adapt.reporting.results import read_log
from tests.helpers.trainers import trainer_for


def rows_of_length(*lengths):
    return pack_rows([[2, *[7] * (length - 2), 3] for length in lengths])


def test_the_length_probe_is_the_best_threshold():
    generator = np.random.default_rng(0)
    source = rows_of_length(*generator.integers(3, 20, 60))
    target = rows_of_length(*generator.integers(8, 30, 40))
    best = max(
        max(share, 1 - share)
        for limit in range(31)
        for share in [((source.lengths <= limit).mean() + (target.lengths > limit).mean()) / 2]
    )
    assert length_probe(source, target) == pytest.approx(best)
    assert length_probe(source, source) == 0.5
    assert length_probe(rows_of_length(4, 5), rows_of_length(9, 11)) == 1.0


def health_of(points, **options):
    lines = [
        {"step": step, "dann/accuracy": accuracy, "dann/entropy": entropy, "dann/lambda": 0.5,
         "task/accuracy": 0.9}
        for step, (accuracy, entropy) in enumerate(points)
    ]  # fmt: skip
    return adversary_health(lines, **options)["dann"]


@pytest.mark.parametrize(
    ("points", "options", "words", "advice"),
    [
        ([(0.5, math.log(2))] * 6, {}, "never did better than chance", "discriminator_learning_rate"),
        ([(1 / 3, math.log(3))] * 6, {"sources": 2}, "never did better than chance", "source_warmup"),
        ([(0.9, 0.2), (0.99, 0.01), (1.0, 0.0)], {}, "near certainty", "lambda_max"),
        ([(0.99, 0.02)] * 4, {"length_accuracy": 0.97}, "length alone", "max_length"),
    ],
)  # fmt: skip
def test_a_sick_adversary_is_named_with_what_to_change(points, options, words, advice):
    found = health_of(points, **options)
    assert words in found["verdict"]
    assert advice in found["advice"]


@pytest.mark.parametrize(
    "points",
    [
        [(0.5, 0.69), (0.8, 0.4), (0.75, 0.5), (0.5, 0.69)],
        [(0.99, 0.05), (0.9, 0.2), (0.7, 0.5), (0.6, 0.6)],
    ],
)
def test_a_living_adversary_is_left_alone(points):
    found = health_of(points)
    assert "alive" in found["verdict"]
    assert found["advice"] == ""


def test_adversaries_that_do_not_tell_domains_apart_are_not_judged():
    lines = [{"step": step, "mdd/lambda": 1.0, "mdd": 0.3} for step in range(5)]
    assert adversary_health(lines) == {}


def test_a_short_log_is_not_judged():
    assert "too few" in health_of([(0.5, 0.69)])["verdict"]


def test_domains_that_differ_in_length_alone_are_reported(tmp_path, caplog):
    log = tmp_path / "log.jsonl"
    line = {"dann/accuracy": 0.99, "dann/entropy": 0.01, "dann/lambda": 1.0}
    log.write_text(
        "".join(json.dumps({"model": "adapted", "step": s, **line}) + "\n" for s in range(4))
    )
    rows = {"source": rows_of_length(4, 5, 6), "target": rows_of_length(20, 21, 22)}
    with caplog.at_level(logging.WARNING):
        report = judge_adversary(read_log(tmp_path, "adapted"), rows)
    assert report["dann"]["length_alone"] == 1.0
    assert "length alone tells the domains apart with 1.00" in caplog.text
    assert judge_adversary(read_log(tmp_path, "source_only"), rows) == {}
    assert judge_adversary(read_log(tmp_path, "adapted"), {"source": rows["source"]}) == {}


def test_a_run_reports_on_its_discriminator(tmp_path):
    results = trainer_for(tmp_path, max_steps=4, data_doctor="off").train()
    assert 0 <= results["adapted"]["adversary"]["dann"]["accuracy"]["end"] <= 1
    assert results["source_only"]["adversary"] == {}
