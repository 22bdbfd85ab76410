"""The best weights by a label-free score: kept, restored, and chosen without target labels."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.errors import ConfigError
from nlp_adapt.training import scoring
from nlp_adapt.training.saving.best import BestModel
from tests.helpers.trainers import trainer_for


def linear(value):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, value)
    return model


def test_the_highest_score_is_kept(tmp_path):
    best = BestModel(tmp_path, "label_free")
    for step, score in enumerate([0.2, 0.9, 0.5, 0.9, 0.3]):
        best.consider(linear(float(step)), {"label_free": score}, step)
    model = linear(-1.0)
    assert best.restore(model) == {"metric": "label_free", "score": 0.9, "step": 3}
    assert model.weight.item() == 3.0
    # A resumed run repeats evaluations from before its interruption: they change nothing.
    assert not best.consider(linear(7.0), {"label_free": 1.0}, 2)
    assert not best.consider(linear(7.0), {"source_risk": 1.0}, 9)
    assert BestModel(tmp_path / "other", "label_free").restore(model) is None


def test_a_score_that_reads_target_labels_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown validator 'target_accuracy'"):
        BestModel(tmp_path, "target_accuracy")


def test_training_ends_with_the_best_weights(tmp_path, monkeypatch):
    """The score falls with every evaluation, so the first evaluation must win."""
    seen, first = [], {}
    consider = BestModel.consider

    def falling(predictions):
        assert not hasattr(predictions, "target_labels")
        seen.append(1)
        return {"label_free": 1.0 / len(seen)}

    def remember(self, model, scores, step):
        if not first:
            first.update({name: value.clone() for name, value in model.state_dict().items()})
        return consider(self, model, scores, step)

    monkeypatch.setattr(scoring, "score_all", falling)
    monkeypatch.setattr(BestModel, "consider", remember)
    trainer = trainer_for(
        tmp_path,
        load_best_model_at_end=True,
        max_steps=3,
        eval_strategy="steps",
        eval_steps=1,
        compare_source_only=False,
        learning_rate=1e-2,
        warmup_steps=0,
    )
    results = trainer.train()
    assert results["adapted"]["best"] == {"metric": "label_free", "score": 1.0, "step": 1}
    assert len(seen) == 4  # three while it trains, and one of the model that was chosen
    saved = load_file(tmp_path / "run" / "model" / "model.safetensors")
    for name, value in saved.items():
        assert torch.equal(value, first[name]), name


def test_selected_rows_are_the_rows():
    rows = pack_rows([[1, 2], [3], [4, 5, 6]], [0, 1, 0])
    chosen = rows.select(np.array([2, 0]))
    assert chosen.ids.tolist() == [4, 5, 6, 1, 2]
    assert chosen.lengths.tolist() == [3, 2]
    assert chosen.labels.tolist() == [0, 0]
    assert chosen.unit_offsets.tolist() == [0, 1, 2]


@pytest.mark.parametrize("method", ["auto", "dann"])
def test_the_last_weights_stay_unless_the_best_are_asked_for(tmp_path, method):
    options = {"method": method, "max_steps": 3, "compare_source_only": False}
    assert trainer_for(tmp_path, **options).train()["adapted"]["best"] is None


@pytest.mark.parametrize("method", ["auto", "dann"])
def test_steps_that_never_come_round_still_score_the_last_one(tmp_path, method):
    """Else a run of fewer than `eval_steps` steps would have nothing to choose from."""
    trainer = trainer_for(
        tmp_path, method=method, load_best_model_at_end=True, eval_strategy="steps",
        compare_source_only=False, max_steps=3,
    )  # fmt: skip
    assert trainer.train()["adapted"]["best"]["step"] >= 1


def test_choosing_without_scores_is_refused_or_said(tmp_path, caplog):
    with pytest.raises(ConfigError, match="set eval_strategy"):
        AdaptationConfig(method="dann", load_best_model_at_end=True, eval_strategy="no")
    model = linear(2.0)
    assert BestModel(tmp_path, "label_free").restore(model) is None
    assert model.weight.item() == 2.0
    said = [record.getMessage() for record in caplog.records]
    assert any("label_free was never measured during training" in text for text in said)


def test_a_misspelt_score_is_refused_before_anything_trains(tmp_path):
    with pytest.raises(ConfigError, match="lable_free"):
        trainer_for(tmp_path, load_best_model_at_end=True, metric_for_best_model="lable_free")


def test_a_stage_in_which_nothing_trains_is_refused(tmp_path):
    stages = [{"objectives": ["coral"], "steps": 2}]
    with pytest.raises(ConfigError, match="nothing trains in a stage with coral"):
        trainer_for(tmp_path, stages=stages, freeze="all", compare_source_only=False).train()
