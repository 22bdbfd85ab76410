"""Heads fitted on frozen features, and what becomes of them in a plain model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.modeling.architectures import output_layer
from nlp_adapt.prediction.predictor import predict_logits
from nlp_adapt.training.frozen.shallow import coral, fit_head, logistic_regression, read_features
from tests.helpers.tiny_encoders import ARCHITECTURES, random_rows, tiny_model
from tests.helpers.trainers import trainer_for


def shifted_features(rows=300, size=6, seed=0):
    """Two classes that differ along one axis; the target is moved along it and scaled."""
    generator = np.random.default_rng(seed)

    def draw():
        labels = generator.integers(0, 2, rows)
        features = generator.normal(size=(rows, size))
        features[:, 0] += 5 * labels - 2.5
        return features, labels

    (source, labels), (target, target_labels) = draw(), draw()
    scales = np.array([1.5, 3.0, 1.0, 0.5, 1.0, 1.0])
    return source, labels, target * scales + 6.0, target_labels


def accuracy(head, features, labels):
    weights, biases = head
    return ((features @ weights.T + biases).argmax(1) == labels).mean()


def test_alignment_mends_a_shift_that_ruins_logistic_regression():
    source, labels, target, target_labels = shifted_features()
    plain = accuracy(logistic_regression(source, labels, 2), target, target_labels)
    moved = logistic_regression(coral(source, target), labels, 2)
    aligned = accuracy(moved, target, target_labels)
    assert plain < 0.8
    assert aligned > 0.93


def test_coral_gives_the_source_the_targets_covariance():
    source, _, target, _ = shifted_features()
    moved = coral(source, target)
    np.testing.assert_allclose(moved.mean(0), target.mean(0), atol=1e-6)
    wanted, found = np.cov(target, rowvar=False), np.cov(moved, rowvar=False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=0.03 * wanted.max())


def test_logistic_regression_equals_scikit_learns():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    generator = np.random.default_rng(3)
    source = generator.normal(size=(200, 5)) * [1, 2, 3, 4, 5]
    labels = (source[:, 0] + generator.normal(size=200) > 0).astype(int) + (source[:, 1] > 1)
    for classes in (labels, (labels > 0).astype(int)):
        count = len(np.unique(classes))
        weights, biases = logistic_regression(source, classes, count)
        logits = source @ weights.T + biases
        found = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        wanted = reference.fit(source, classes).predict_proba(source)
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_features_times_the_head_are_the_models_logits(architecture):
    rows = random_rows(20, 1, labels=3)
    model = tiny_model(architecture, labels=3, dropout=0.2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit_head("logistic_regression", model, {"source": rows}, pad_id=0)
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert len(changed) == 2
    features = read_features(model, rows, pad_id=0)
    assert features.shape[0] == 20
    layer = output_layer(model)
    expected = features @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    # Weights fitted to features that hardly vary are large, and so is what rounding does to logits.
    np.testing.assert_allclose(predict_logits(model, rows, pad_id=0), expected, atol=5e-4)
    assert (expected.argmax(1) == rows.labels).mean() > 0.4


@pytest.mark.parametrize("method", ["logistic_regression", "shallow_coral"])
def test_a_run_leaves_a_plain_model_and_a_shallow_twin(tmp_path, method):
    trainer = trainer_for(tmp_path, method=method)
    results = trainer.train()
    assert results["adapted"]["steps"] == results["source_only"]["steps"] == 0
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    plain = load(tmp_path / "run" / "model")
    twin = load(tmp_path / "run" / "source_only" / "model")
    ids = torch.tensor([[2, 9, 8, 3]])
    torch.testing.assert_close(
        plain(input_ids=ids).logits,
        trainer.model.eval()(input_ids=ids).logits,
        atol=1e-4,
        rtol=1e-4,
    )
    same = torch.allclose(plain.classifier.weight, twin.classifier.weight)
    assert same is (method == "logistic_regression")
    assert torch.equal(plain.bert.embeddings.word_embeddings.weight,
                       tiny_model().bert.embeddings.word_embeddings.weight)  # fmt: skip
    assert json.loads((tmp_path / "run" / "results.json").read_text())["method"] == method


def test_a_fitted_head_can_be_trained_on(tmp_path):
    """Linear probing, then fine-tuning (Kumar et al. 2022)."""
    stages = [{"fit": "logistic_regression"}, {"objectives": ["task", "dann"], "steps": 2}]
    trainer = trainer_for(tmp_path, stages=stages, max_steps=-1, compare_source_only=False)
    assert trainer.train()["adapted"]["steps"] == 2


def test_taggers_fit_their_words(tmp_path):
    rows = random_rows(4, 2)
    counts = [2, 2, 2, 2]
    tagged = replace(
        rows, labels=np.array([0, 1, 2, 0, 1, 2, 0, -100]),
        unit_offsets=np.concatenate([[0], np.cumsum(counts)]),
        positions=np.array([1, 2] * 4), words=np.arange(8), total_words=8,
    )  # fmt: skip
    model = tiny_model("bert", "TokenClassification", labels=3)
    fit_head("logistic_regression", model, {"source": tagged}, pad_id=0)
    logits = predict_logits(model, tagged, pad_id=0)
    assert (logits.argmax(1) == tagged.labels)[:7].mean() > 0.5


def test_a_class_without_rows_is_never_predicted():
    features = np.random.default_rng(0).normal(size=(40, 4))
    labels = np.arange(40) % 2 * 2
    weights, biases = logistic_regression(features, labels, 3)
    assert 1 not in (features @ weights.T + biases).argmax(1)


def test_what_cannot_be_fitted_is_refused(tmp_path, monkeypatch):
    model = tiny_model()
    rows = random_rows(6, 1, labels=2)
    with pytest.raises(ConfigError, match="did you mean 'coral'"):
        fit_head("corall", model, {"source": rows}, pad_id=0)
    with pytest.raises(ConfigError, match="with a target domain"):
        fit_head("coral", model, {"source": rows}, pad_id=0)
    with pytest.raises(ConfigError, match="needs 2 texts"):
        fit_head("coral", model, {"source": rows, "target": rows.select([0])}, pad_id=0)
    one_class = replace(rows, labels=np.zeros(6, dtype=np.int64))
    with pytest.raises(DataError, match="all of one class"):
        fit_head("logistic_regression", model, {"source": one_class}, pad_id=0)
    with pytest.raises(ConfigError, match="unknown fit 'svm'"):
        trainer_for(tmp_path, stages=[{"fit": "svm"}])
    with pytest.raises(ConfigError, match="no other keys"):
        trainer_for(tmp_path, stages=[{"fit": "coral", "steps": 3}])
