"""A user's `compute_metrics` and `eval_dataset` stand beside what a run says by itself."""

from types import SimpleNamespace

import numpy as np
import pytest

from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.training.trainer_api.metrics import computed
from tests.helpers.tiny_encoders import WORDS
from tests.helpers.trainers import toy_domain, trainer_for

ROWS = [
    {"text": f"{WORDS[30 + i % 5]} {WORDS[i % 2]}", "label": ["negative", "positive"][i % 2]}
    for i in range(6)
]


def right(prediction):
    assert prediction.predictions.shape == (*prediction.label_ids.shape, 2)
    return {"right": (prediction.predictions.argmax(-1) == prediction.label_ids).mean()}


def test_both_stand_beside_the_results(tmp_path):
    trainer = trainer_for(tmp_path, compute_metrics=right, eval_dataset={"rows": ROWS})
    results = trainer.train()
    for model in ("source_only", "adapted"):
        for side in ("source", "target"):
            own = results[model][side]
            assert own["compute_metrics"]["right"] == pytest.approx(own["accuracy"], abs=1e-6)
        scores = results[model]["eval_dataset"]["rows"]
        assert np.sum(scores["confusion_matrix"]) == 6
    assert trainer.evaluate(ROWS)["compute_metrics"] == scores["compute_metrics"]
    lines = [line for line in trainer.state.log_history if "label_free" in line]
    assert all("source_validation/compute_metrics/right" in line for line in lines)
    assert trainer.evaluate()["rows"] == results["adapted"]["eval_dataset"]["rows"]


@pytest.mark.parametrize("answer", [None, {"report": "fine"}])
def test_metrics_must_be_numbers(tmp_path, answer):
    trainer = trainer_for(tmp_path, compute_metrics=lambda prediction: answer)
    with pytest.raises(ConfigError, match="must return a dict of numbers"):
        trainer.train()


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (ROWS, ConfigError, "eval_dataset is a list"),
        ({"target": ROWS}, ConfigError, "'target' is what"),
        ({"texts": ["a b", "c d"]}, DataError, "texts has no labelled rows"),
        ({"tweets": toy_domain("tweets", 50, labelled=False)}, DataError, "no labelled rows"),
    ],
)
def test_what_cannot_be_scored_is_said_before_training(tmp_path, given, error, said):
    with pytest.raises(error, match=said):
        trainer_for(tmp_path, eval_dataset=given)


def test_words_come_by_sentence_as_trainer_gives_them():
    """Two sentences of two words and one, whose units stand in another order."""
    encoded = SimpleNamespace(labels=np.array([1, 0, 2]), words=np.array([2, 0, 1]))
    rows = {"tokens": [["a", "b"], ["c"]]}
    logits = np.eye(3, dtype=np.float32)[[1, 0, 2]]
    seen = {}

    def compute(prediction):
        seen["labels"] = prediction.label_ids.tolist()
        seen["answers"] = prediction.predictions.argmax(-1).tolist()
        return {"sentences": len(prediction.label_ids)}

    task = SimpleNamespace(units_are_words=True)
    assert computed(compute, task, logits, encoded, rows) == {"sentences": 2.0}
    assert seen == {"labels": [[0, 2], [1, -100]], "answers": [[0, 2], [1, 0]]}
