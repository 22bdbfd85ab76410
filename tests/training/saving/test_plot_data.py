import json

import numpy as np
from transformers.utils import logging

from nlp_adapt.training.saving.plot_data import calibration, principal_plane
from tests.helpers.trainers import trainer_for


def test_a_run_leaves_points_calibration_and_words(tmp_path):
    trainer = trainer_for(tmp_path, max_test_rows=6)
    results = trainer.train()
    folder = trainer.folder
    for name in ("source_only", "adapted"):
        plots = json.loads(folder.plots(name).read_text(encoding="utf-8"))
        assert folder.manifest.problems(folder.plots(name)) == []
        for side in ("source", "target"):
            points = plots["points"][side]
            assert {len(values) for values in points.values()} == {6}
            assert max(map(abs, points["x"] + points["y"])) <= 1
            assert set(points["truth"]) <= {0, 1}
            own = plots["calibration"][side]
            assert own["rows"] == "test"
            assert own["before"]["units"] == own["after"]["units"] == 6
        assert set(plots["words"]) == {"source", "target"}
    # Few rows were drawn of those that there are, and the results say so.
    for side in ("source", "target"):
        assert results[side]["rows"]["test"] == results["adapted"][side]["support"] == 6
        assert results[side]["drawn_from"] == {"test": 9}
    assert folder.report.stat().st_size > 10_000


def test_log_lines_say_where_training_stands(tmp_path, capfd):
    trainer = trainer_for(tmp_path, max_steps=4, compare_source_only=False)
    bars = logging.is_progress_bar_enabled()
    trainer.train()
    assert "Writing model" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled() is bars
    lines = [json.loads(line) for line in trainer.folder.log.read_text("utf-8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    rows = len(trainer.data.train["source"])
    np.testing.assert_allclose(
        [line["epoch"] for line in steps], [4 * i / rows for i in range(1, 5)], atol=1e-4
    )
    assert all(line["grad_norm"] > 0 for line in steps)
    rates = [line["learning_rate"] for line in steps]
    assert rates[0] == max(rates) > rates[-1] > 0


def test_the_plane_keeps_what_varies_most():
    rng = np.random.default_rng(0)
    along, across = rng.normal(size=(2, 50)) * [[5.0], [1.0]]
    features = np.zeros((50, 4))
    features[:, 2], features[:, 0] = along, across
    plane, explained = principal_plane(features)
    assert explained[0] > 0.9
    assert abs(np.corrcoef(plane[:, 0], along)[0, 1]) > 0.99
    assert np.abs(plane).max() == 1.0


def test_features_that_never_vary_lie_on_one_spot():
    plane, explained = principal_plane(np.ones((5, 3)))
    assert not plane.any()
    assert explained == [0.0, 0.0]


def test_calibration_leaves_unknown_labels_out():
    logits, labels = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, -100])
    found = calibration({"source_validation": [(logits, labels)]})
    assert found["source"]["rows"] == "validation"
    assert found["source"]["before"]["units"] == 1
    assert "target" not in found
    assert calibration({}) == {"temperature": None}
