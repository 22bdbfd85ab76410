"""Told class shares in a run: in the exported model, its twin, the choice of weights, and resumed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.training.scoring import Scorer
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.adapters import lora_trainer, saved_base
from tests.helpers.interruptions import assert_resumes, weights
from tests.helpers.several_domains import several_trainer
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import NAMES, toy_domain, trainer_for, with_domains

TOLD = {"positive": 0.25}
OPTIONS = {"target_class_shares": TOLD, "data_doctor": "off", "validation_fraction": 0.3}


def share_by_pipeline(folder):
    """Share of the target's texts that transformers' own pipeline calls positive."""
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(folder), device="cpu")
    answers = classify(list(toy_domain("tweets", 50).train["text"]))
    return np.mean([answer["label"] == "positive" for answer in answers])


def test_both_exported_models_predict_the_told_shares_in_a_plain_pipeline(tmp_path):
    results = trainer_for(tmp_path, **OPTIONS).train()
    for name, folder in (("adapted", "model"), ("source_only", "source_only/model")):
        said = results[name]["class_shares"]
        assert said["told"] == {"negative": 0.75, "positive": 0.25}
        assert said["predicted"]["positive"] == pytest.approx(0.25, abs=0.05)
        assert sum(said["predicted_before"].values()) == pytest.approx(1)
        assert set(said["estimated"]) == {"em", "bbse"}
        assert share_by_pipeline(tmp_path / "run" / folder) == said["predicted"]["positive"]
        assert results[name]["evidence"]["predicted"] == pytest.approx(said["predicted"], abs=1e-4)


def test_nothing_but_the_last_bias_differs_from_a_run_that_is_told_nothing(tmp_path):
    trainer_for(tmp_path / "told", **OPTIONS, method="source_only").train()
    trainer_for(
        tmp_path / "not", **{**OPTIONS, "target_class_shares": {}}, method="source_only"
    ).train()
    told, untold = weights(tmp_path / "told"), weights(tmp_path / "not")
    changed = [name for name, value in told.items() if not torch.equal(value, untold[name])]
    assert changed == ["classifier.bias"]


def test_a_resumed_run_adds_the_bias_once(tmp_path, monkeypatch):
    options = {**OPTIONS, "save_steps": 1, "max_steps": 3}
    assert_resumes(tmp_path, monkeypatch, 4, **options)


@pytest.mark.parametrize("merge", [False, True])
def test_adapters_and_merged_models_hold_the_bias(tmp_path, merge):
    base = saved_base(tmp_path)
    results = lora_trainer(tmp_path, str(base), merge_lora=merge, target_class_shares=TOLD).train()
    predictor = load_predictor(tmp_path / "run" / "model")
    answers = predictor.predict(list(toy_domain("tweets", 50).train["text"]))
    share = np.mean([answer["label"] == "positive" for answer in answers])
    assert share == pytest.approx(results["adapted"]["class_shares"]["predicted"]["positive"])


def test_training_in_bfloat16_ends_with_the_told_shares_too(tmp_path):
    options = {**OPTIONS, "precision": "bf16", "compare_source_only": False}
    said = trainer_for(tmp_path, **options).train()["adapted"]["class_shares"]
    assert share_by_pipeline(tmp_path / "run" / "model") == said["predicted"]["positive"]


def test_the_shares_are_those_of_all_targets_together(tmp_path):
    options = {"target_class_shares": TOLD, "compare_source_only": True}
    results = several_trainer(tmp_path, few_shot=None, **options).train()
    for name in ("source_only", "adapted"):
        predicted = results[name]["class_shares"]["predicted"]
        assert predicted["positive"] == pytest.approx(0.25, abs=0.05)


def test_checkpoints_are_judged_by_predictions_with_the_told_shares(tmp_path):
    scores = []
    for shift in (0.0, 3.0):
        trainer = trainer_for(tmp_path, **OPTIONS)
        model = trainer.fresh_model().eval()
        with torch.no_grad():
            model.classifier.bias[0] += shift
        scores.append(trainer.scorer.validation(model, "fp32"))
        untold = replace(trainer.scorer, target_shares=None).validation(model, "fp32")
        assert scores[-1]["information_maximisation"] != untold["information_maximisation"]
    # A constant on a logit is what the shares take away again.
    one, two = (own["information_maximisation"] for own in scores)
    assert one == pytest.approx(two, abs=1e-3)


def test_no_target_label_moves_the_bias(tmp_path):
    """Labels of the target that are turned round change its scores and nothing else."""
    found = []
    for name in ("right", "wrong"):
        trainer = trainer_for(tmp_path / name, **OPTIONS)
        if name == "wrong":
            domain = toy_domain("tweets", 50)
            texts, places = domain.train["text"], domain.train["row"]
            labels = [1 - label for label in domain.train["label"]]
            turned = make_dataset(domain.task, list(texts), list(places), labels, NAMES)
            turned = Domain(domain.name, domain.task, train=turned, test=turned.select(range(9)))
            with_domains(trainer, targets=turned)
        found.append(trainer.train())
    right, wrong = (one["adapted"] for one in found)
    assert right["class_shares"] == wrong["class_shares"]
    assert right["label_free"] == wrong["label_free"]
    assert right["target"]["accuracy"] == pytest.approx(1 - wrong["target"]["accuracy"])


def test_a_classifier_without_a_bias_is_refused_before_the_first_step(tmp_path, monkeypatch):
    model = tiny_model("bert")
    model.classifier.bias = None
    monkeypatch.setattr(Scorer, "tests", lambda *_: pytest.fail("it has trained"))
    with pytest.raises(ModelError, match=r"bias of the classifier.*BertForSequence.* has none"):
        trainer_for(tmp_path, model=model, **OPTIONS).train()


def test_wrong_names_and_a_missing_target_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no class 'postive'; did you mean 'positive'"):
        trainer_for(tmp_path, target_class_shares={"postive": 0.5})
    trainer = trainer_for(tmp_path, method="source_only")
    from nlp_adapt.training.inputs.domains import check_options

    config = replace(trainer.args, target_class_shares=TOLD)
    with pytest.raises(ConfigError, match="target_class_shares needs a target"):
        check_options(replace(trainer.inputs, targets=()), config, [])


def few_shot_trainer(folder, **options):
    """A run with six labelled rows of the target, all positive."""
    rows = toy_domain("few", 50, rows=12).train
    chosen = rows.select([i for i, label in enumerate(rows["label"]) if label == 1])
    few = Domain("few", "sequence-classification", train=chosen, reference="few.csv")
    config = AdaptationConfig(
        output_dir=str(folder / "run"),
        method="source_only",
        max_steps=2,
        per_device_train_batch_size=4,
        disable_tqdm=True,
        **{"data_doctor": "off", "validation_fraction": 0.3, "precision": "fp32", **options},
    )
    return AdaptationTrainer(
        tiny_model("bert"), config, toy_domain("reviews", 30), toy_domain("tweets", 50),
        processing_class=tiny_tokenizer(), target_few_shot=few,
    )  # fmt: skip


@pytest.mark.parametrize("use", ["bias", "both"])
def test_labelled_rows_tell_the_shares_of_the_adapted_model_alone(tmp_path, use):
    trainer = few_shot_trainer(tmp_path, few_shot_use=use)
    assert ("few_shot" in trainer.data.train) == (use == "both")
    results = trainer.train()
    assert results["target_labels"]["use"] == use
    assert "from_labels" not in results["source_only"]["class_shares"]
    said = results["adapted"]["class_shares"]
    assert said["labels"] == 6
    # All labelled rows are positive, so the share rises above the predicted one, though not to 1.
    before = said["predicted_before"]["positive"]
    assert before <= said["from_labels"]["positive"] <= before + 6 / 26 + 1e-3
    assert share_by_pipeline(tmp_path / "run" / "model") == said["predicted"]["positive"]


def test_with_bias_alone_no_weight_but_the_bias_differs_from_the_twin(tmp_path):
    few_shot_trainer(tmp_path, few_shot_use="bias", compare_source_only=True).train()
    one = load_file(tmp_path / "run" / "model" / "model.safetensors")
    twin = load_file(tmp_path / "run" / "source_only" / "model" / "model.safetensors")
    assert {name for name in one if not torch.equal(one[name], twin[name])} <= {"classifier.bias"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"few_shot_use": "bias", "target_class_shares": TOLD}, "leave one of them out"),
        ({"few_shot_use": "bia"}, "did you mean 'bias'"),
    ],
)
def test_uses_of_labelled_rows_that_contradict_are_refused(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        few_shot_trainer(tmp_path, **options)


def test_rows_drawn_by_class_or_missing_tell_no_shares(tmp_path):
    with pytest.raises(ConfigError, match="needs labelled target rows: set target_few_shot"):
        trainer_for(tmp_path, few_shot_use="bias")
    with pytest.raises(ConfigError, match="draws 2 rows of each class of tweets"):
        several_trainer(tmp_path, few_shot=2, few_shot_use="both")
