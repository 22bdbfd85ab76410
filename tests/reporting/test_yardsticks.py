"""What a threshold alone would give: found by search, shown for reading, and out of selection's reach."""

import copy
import itertools
import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.domain import make_dataset
from nlp_adapt.prediction.yardsticks import best_biases, yardsticks
from nlp_adapt.reporting.comparison import conclusions
from nlp_adapt.reporting.yardsticks import threshold_remark, yardstick_rows
from nlp_adapt.tasks import TASKS
from tests.helpers.results import run

TAGS = ("O", "B-PER", "I-PER")


@pytest.mark.parametrize("values", [3, 1000])
def test_two_classes_get_the_best_threshold_there_is(values):
    draws = np.random.default_rng(values)
    for _ in range(20):
        labels = np.append(draws.integers(0, 2, 30), [0, 1])
        logits = draws.integers(0, values, (32, 2)).astype(float)
        margins = logits[:, 1] - logits[:, 0]
        cuts = np.append(np.unique(margins), values)
        tried = [f1_score(labels, (margins >= cut).astype(int), average="macro") for cut in cuts]
        chosen = (logits + best_biases(labels, logits)).argmax(-1)
        assert f1_score(labels, chosen, average="macro") == pytest.approx(max(tried), abs=1e-12)


def test_a_shift_of_several_classes_is_found():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 4, 400)
    logits = np.eye(4)[labels] * 3 + draws.normal(size=(400, 4)) * 0.3
    moved = logits + np.array([0, 4, -3, 1])
    chosen = (moved + best_biases(labels, moved)).argmax(-1)
    assert f1_score(labels, chosen, average="macro") > 0.98
    assert not best_biases(labels, logits).any()


def tagged(labels, logits):
    words = [f"w{number}" for number in range(len(labels))]
    dataset = make_dataset(
        "token-classification", [words], ["a:1"], [[TAGS[label] for label in labels]], TAGS
    )
    encoded = EncodedRows(
        ids=np.arange(len(labels)), offsets=np.array([0, len(labels)]), labels=np.array(labels),
        unit_offsets=np.array([0, len(labels)]), positions=np.arange(len(labels)),
        words=np.arange(len(labels)), total_words=len(labels),
    )  # fmt: skip
    return np.array(logits, dtype=np.float32), encoded, dataset


def test_words_get_the_best_constant_for_outside():
    """Both entities stand out by 1, and O is 2 too high everywhere: 1.5 less finds them."""
    labels = [0, 1, 2, 0, 1, 0]
    logits = np.eye(3)[labels] + np.array([2.0, 0.0, 0.0])
    task = TASKS["token-classification"](TAGS)
    logits, encoded, dataset = tagged(labels, logits)
    plain = task.metrics(logits, encoded, dataset)
    found = yardsticks(task, logits, encoded, dataset, plain)["oracle"]
    assert plain["f1"] == 0.0
    assert found == {"f1": 1.0, "precision": 1.0, "recall": 1.0, "bias": found["bias"]}
    assert -3 < found["bias"] < -1
    right = np.eye(3)[labels] * 9
    plain = task.metrics(right, encoded, dataset)
    assert yardsticks(task, right, encoded, dataset, plain)["oracle"]["bias"] == 0.0


def test_texts_carry_json_ready_yardsticks():
    task = TASKS["sequence-classification"](("negative", "positive"))
    labels = np.array([0, 0, 1, 1])
    logits = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [0.0, 4.0]])
    rows = EncodedRows(np.zeros(4), np.arange(5), labels, np.arange(5))
    found = yardsticks(task, logits, rows, None, {})
    assert found == json.loads(json.dumps(found))
    assert found["auc"] == found["oracle"]["macro_f1"] == 1.0
    assert found["oracle"]["bias"] == {"negative": 0.0, "positive": -2.5}
    one = EncodedRows(np.zeros(2), np.arange(3), np.array([1, 1]), np.arange(3))
    assert "auc" not in yardsticks(task, logits[:2], one, None, {})


@pytest.mark.parametrize(
    ("oracle", "own", "said"),
    [
        (0.75, 0.81, ""),
        (0.85, 0.81, "reaches 85.0 macro-F1: by this measure dann moves the threshold rather than"),
        (0.80, 0.80, "reaches 80.0 macro-F1: by this measure dann moves the threshold rather than"),
        (0.80, 0.81, "reaches 80.0 macro-F1 and dann 81.0: by this measure dann ranks better."),
    ],
)
def test_a_gain_within_reach_of_a_threshold_is_called_that(oracle, own, said):
    results = run([[300, 200], [200, 300]], [[400, 100], [100, 400]])
    results["source_only"]["target"] |= {"oracle": {"macro_f1": oracle}, "auc": 0.8}
    results["adapted"]["target"] |= {"oracle": {"macro_f1": own}, "auc": 0.79}
    sentences = " ".join(conclusions(results))
    assert said in sentences
    assert ("by this measure" in sentences) == bool(said)
    assert ["AUC, %", "80.0", "79.0"] in yardstick_rows(results)
    assert "macro-F1 at the best threshold, %" in [row[0] for row in yardstick_rows(results)]
    worse = copy.deepcopy(results)
    worse["adapted"]["target"]["confusion_matrix"] = [[250, 250], [250, 250]]
    worse["adapted"]["target"]["macro_f1"] = 0.5
    assert threshold_remark(worse) == []


def test_results_of_earlier_versions_have_no_such_table():
    results = run([[3, 2], [2, 3]], [[4, 1], [1, 4]])
    for model, side in itertools.product(("source_only", "adapted"), ("source", "target")):
        for key in ("macro_precision", "macro_recall"):
            results[model][side].pop(key, None)
    assert yardstick_rows(results) == []
    assert threshold_remark(results) == []


def test_what_selects_a_model_cannot_reach_them():
    """Scores during training hold nothing of the target's labels, by the imports of their rooms."""
    import nlp_adapt.training.saving.best as best
    import nlp_adapt.validators.scores as scores

    for module in (best, scores):
        assert "yardsticks" not in vars(module)
        named = " ".join(map(str, vars(module).values()))
        assert "reporting" not in named
        assert "prediction" not in named
