"""A model that comes with a head keeps what it knows under the right names, wherever it enters."""

import json

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, pipeline

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.architectures import output_layer
from nlp_adapt.modeling.lora import add_adapters, save_task_model
from nlp_adapt.prediction.joining import join
from nlp_adapt.prediction.opening import load_predictor, save_ensemble
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.brought import TEXTS, barely_trained, saved, starting_from, with_head
from tests.helpers.tiny_encoders import ARCHITECTURES, tiny_model, tiny_tokenizer

INVERTED = ("Positive", "negative")


def said(folder, texts=TEXTS):
    """What plain transformers says of each text: its classes and their scores."""
    classify = pipeline("text-classification", str(folder), top_k=None, device="cpu")
    return [{one["label"].lower(): one["score"] for one in row} for row in classify(texts)]


def assert_same(found, wanted):
    for one, two in zip(found, wanted, strict=True):
        assert one == pytest.approx(two, abs=1e-4)


@pytest.fixture
def inverted(tmp_path):
    """A sure classifier whose labels are in another order than the data's."""
    folder = saved(with_head(INVERTED), tmp_path / "inverted")
    assert any(max(row.values()) > 0.55 for row in said(folder))
    return folder


# Training


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_named_model_is_saved_with_the_knowledge_of_its_head(tmp_path, architecture):
    folder = saved(with_head(INVERTED, architecture), tmp_path / "given")
    barely_trained(folder, tmp_path / "run")
    for model in ("model", "source_only/model"):
        assert_same(said(tmp_path / "run" / model), said(folder))
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert list(config["id2label"].values()) == ["negative", "positive"]


def test_so_is_a_model_object(tmp_path, inverted):
    given = with_head(INVERTED)
    barely_trained(given, tmp_path / "run")
    assert_same(said(tmp_path / "run" / "model"), said(inverted))
    assert given.config.id2label == dict(enumerate(INVERTED))


@pytest.mark.parametrize("names", [INVERTED, ("LABEL_0", "LABEL_1")])
def test_a_model_object_is_saved_with_the_names_that_it_was_trained_for(tmp_path, names):
    quick = {"learning_rate": 0.01, "head_learning_rate": 0.01, "max_steps": 30}
    trainer = starting_from(with_head(names), tmp_path / "run", method="source_only", **quick)
    trainer.train()
    rows = trainer.source.train
    found = [max(row, key=row.get) for row in said(tmp_path / "run" / "model", list(rows["text"]))]
    wanted = [trainer.source.label_names[label] for label in rows["label"]]
    assert found == wanted


def test_so_is_one_that_training_continues_from(tmp_path, inverted):
    trainer = starting_from(inverted, tmp_path / "run", compare_source_only=False)
    AdaptationTrainer.from_pretrained(inverted, trainer.args, trainer.inputs).train()
    assert_same(said(tmp_path / "run" / "model"), said(inverted))


def test_so_are_adapters(tmp_path, inverted):
    """Those of a base whose own head has another order still."""
    base = saved(with_head(("negative", "positive")), tmp_path / "base")
    model = AutoModelForSequenceClassification.from_pretrained(base)
    model.config.id2label = dict(enumerate(INVERTED))
    with torch.no_grad():
        model.classifier.weight.copy_(with_head(INVERTED).classifier.weight.flip(0))
    saved(model, tmp_path / "plain")
    save_task_model(add_adapters(model), tmp_path / "adapters")
    tiny_tokenizer().save_pretrained(tmp_path / "adapters")
    barely_trained(tmp_path / "adapters", tmp_path / "run")
    assert_same(said(tmp_path / "run" / "model"), said(tmp_path / "plain"))


def test_the_card_of_adapters_opens_them_on_a_base_with_another_head(tmp_path):
    base = saved(with_head(("negative", "neutral", "positive")), tmp_path / "base")
    trainer = barely_trained(base, tmp_path / "run", lora=True, compare_source_only=False)
    folder = tmp_path / "run" / "model"
    code = ModelCard.load(folder / "README.md").content.split("```python\n")[1].split("```")[0]
    code = code.replace("path/or/hub-id", str(folder)).replace('"base"', repr(str(base)))
    scope = {}
    exec(code, scope)
    found = [
        {one["label"]: one["score"] for one in row} for row in scope["model"](TEXTS, top_k=None)
    ]
    assert_same(found, [one["scores"] for one in trainer.predict(TEXTS)])


@pytest.mark.parametrize("kind", ["name", "object"])
def test_names_that_say_nothing_are_those_of_the_data(tmp_path, kind, caplog):
    model = with_head(("LABEL_0", "LABEL_1"))
    folder = saved(model, tmp_path / "given")
    barely_trained(folder if kind == "name" else model, tmp_path / "run")
    found = said(tmp_path / "run" / "model")
    assert_same(
        [{"label_0": one["negative"], "label_1": one["positive"]} for one in found], said(folder)
    )
    assert "new head" not in caplog.text


def tagged(names, tags, tokenizer=None):
    words = [[f"word{i}", f"word{i + 1}"] for i in range(12)]
    rows = make_dataset(
        "token-classification", words, [f"a:{i}" for i in range(12)],
        [[tags[(i + j) % len(tags)] for j in range(2)] for i in range(12)], list(names),
    )  # fmt: skip
    return Domain("a", "token-classification", train=rows, test=rows)


@pytest.mark.parametrize("kind", ["name", "object"])
def test_a_tagger_keeps_its_tags(tmp_path, kind):
    names = ("O", "I-PER", "B-LOC", "B-PER", "I-LOC")
    model = with_head(names, task="Token")
    folder = saved(model, tmp_path / "given")
    config = AdaptationConfig(
        output_dir=str(tmp_path / "run"), task="token-classification", method="dann", max_steps=1,
        learning_rate=1e-12, head_learning_rate=1e-12, precision="fp32", disable_tqdm=True,
        data_doctor="off",
    )  # fmt: skip
    domain = tagged(sorted(names), range(5))
    start = str(folder) if kind == "name" else model
    AdaptationTrainer(start, config, domain, domain, processing_class=tiny_tokenizer()).train()
    before, after = (
        [
            one["entity"]
            for row in pipeline("token-classification", str(where), device="cpu")(TEXTS)
            for one in row
        ]
        for where in (folder, tmp_path / "run" / "model")
    )
    assert len(set(before)) > 1
    assert before == after


@pytest.mark.parametrize(
    ("names", "config", "reason"),
    [
        (("sports", "politics"), {}, "knows the labels sports, politics"),
        (("negative", "neutral", "positive"), {}, "knows the labels negative, neutral"),
        (("score",), {}, "is a one-output model"),
        (("negative", "positive"), {"problem_type": "multi_label_classification"}, "multi-label"),
        (("negative", "positive"), {"problem_type": "regression"}, "is a regression model"),
    ],
)
def test_any_other_head_is_a_new_one_and_said_so(tmp_path, names, config, reason, caplog):
    given = with_head(names)
    folder = saved(given, tmp_path / "given", **config)
    trainer = starting_from(folder, tmp_path / "run", compare_source_only=False)
    trainer.train()
    assert reason in caplog.text
    assert "gets a new head" in caplog.text
    drawn = output_layer(trainer.fresh_model()).weight
    assert drawn.shape[0] == 2
    assert not any(
        torch.isclose(row, old).all() for row in drawn for old in given.classifier.weight
    )
    written = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert written.get("problem_type") is None
    for row in said(tmp_path / "run" / "model"):
        assert row.keys() == {"negative", "positive"}
        assert sum(row.values()) == pytest.approx(1)


def test_the_head_of_another_task_is_a_new_one(tmp_path, caplog):
    """A BERT tagger calls its head as a classifier does."""
    folder = saved(with_head(("LABEL_0", "LABEL_1"), task="Token"), tmp_path / "given")
    starting_from(folder, tmp_path / "run").fresh_model()
    assert "has a head for TokenClassification, so it gets a new head" in caplog.text


def test_an_encoder_gets_its_head_without_a_word(tmp_path, tiny_model_dir, caplog):
    starting_from(tiny_model_dir, tmp_path / "run").fresh_model()
    assert not caplog.text


@pytest.mark.parametrize(
    ("names", "problem", "reason"),
    [
        (("sports", "politics"), None, "has the labels|knows the labels sports, politics"),
        (("LABEL_0", "LABEL_1", "LABEL_2"), None, "knows the labels LABEL_0, LABEL_1, LABEL_2"),
        (("negative",), None, "one-output"),
        (("negative", "positive"), "multi_label_classification", "multi-label"),
    ],
)
def test_an_object_with_another_head_is_refused_at_once(tmp_path, names, problem, reason):
    model = with_head(names)
    model.config.problem_type = problem
    with pytest.raises(ModelError, match=reason):
        starting_from(model, tmp_path / "run")


def test_an_object_for_another_task_is_refused_at_once(tmp_path):
    with pytest.raises(ModelError, match="load it as an AutoModelForSequenceClassification"):
        starting_from(tiny_model(task="TokenClassification"), tmp_path / "run")
    with pytest.raises(ModelError, match="no linear output layer"):
        starting_from(tiny_model().bert, tmp_path / "run")


def test_a_problem_type_that_fits_does_not_reach_the_export(tmp_path):
    model = with_head(("negative", "positive"))
    model.config.problem_type = "single_label_classification"
    barely_trained(model, tmp_path / "run", compare_source_only=False)
    written = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert written.get("problem_type") is None


# Prediction


@pytest.mark.parametrize(
    ("names", "config", "reason"),
    [
        (("score",), {}, "one-output"),
        (("a", "b"), {"problem_type": "multi_label_classification"}, "multi-label"),
        (("a", "b"), {"problem_type": "regression"}, "regression"),
        (("a", "b"), {"id2label": {"0": "a", "1": "a"}}, "its own name"),
        (("a", "b"), {"id2label": {"1": "a", "2": "b"}}, "its own name"),
    ],
)
def test_what_is_no_choice_of_one_label_is_refused(tmp_path, names, config, reason):
    folder = saved(with_head(names), tmp_path / "given", **config)
    with pytest.raises(ModelError, match=reason):
        load_predictor(folder)


def test_members_of_an_ensemble_are_matched_by_name(tmp_path, inverted):
    straight = with_head(("negative", "positive"))
    with torch.no_grad():
        for one, two in zip(straight.parameters(), with_head(INVERTED).parameters(), strict=True):
            one.copy_(two)
        straight.classifier.weight.copy_(straight.classifier.weight.flip(0))
        straight.classifier.bias.copy_(straight.classifier.bias.flip(0))
    saved(straight, tmp_path / "straight")
    wanted = [{k.lower(): v for k, v in one["scores"].items()}
              for one in load_predictor(inverted).predict(TEXTS)]  # fmt: skip
    save_ensemble(tmp_path / "pair", [tmp_path / "straight", inverted])
    members = [str(inverted), str(tmp_path / "pair")]
    save_ensemble(tmp_path / "nested", members)
    join([str(inverted), str(tmp_path / "straight")], tmp_path / "soup", "soup")
    for name in ("pair", "nested", "soup"):
        found = load_predictor(tmp_path / name).predict(TEXTS)
        assert_same([{k.lower(): v for k, v in one["scores"].items()} for one in found], wanted)


def test_so_are_the_weights_that_stack_them(tmp_path, inverted):
    matrix, bias = np.array([[2.0, -1.0, 0.5, 0.1], [0.3, 1.0, -2.0, 0.7]]), np.array([0.2, -0.4])
    other = saved(with_head(("negative", "positive"), "roberta"), tmp_path / "other")
    save_ensemble(tmp_path / "stack", [inverted, other], (matrix, bias))
    save_ensemble(tmp_path / "outer", [other, tmp_path / "stack"])
    stack, plain = load_predictor(tmp_path / "stack"), load_predictor(other)
    outer = load_predictor(tmp_path / "outer")
    log = [[np.log([one["scores"][name] for name in ("negative", "positive")])
            for one in stack_or_plain.predict(TEXTS)] for stack_or_plain in (plain,)]  # fmt: skip
    inner = [np.log([{k.lower(): v for k, v in one["scores"].items()}[name]
                     for name in ("negative", "positive")]) for one in stack.predict(TEXTS)]  # fmt: skip
    mean = np.log(np.exp([log[0], inner]).mean(0))
    found = [[one["scores"][name] for name in ("negative", "positive")]
             for one in outer.predict(TEXTS)]  # fmt: skip
    np.testing.assert_allclose(found, np.exp(mean), atol=1e-4)


def test_a_teacher_is_matched_by_name_and_not_by_guess(tmp_path, inverted):
    options = {"method": "distillation", "compare_source_only": False}
    trainer = starting_from(tiny_model(), tmp_path / "run", teacher=str(inverted), **options)
    rows = trainer.data.train["target"]
    logits = torch.tensor(rows.teacher).softmax(-1)
    texts = list(trainer.inputs.targets[0].train["text"])
    wanted = said(inverted, texts)
    np.testing.assert_allclose(logits[:, 1], [one["positive"] for one in wanted], atol=1e-4)
    unnamed = saved(with_head(("LABEL_0", "LABEL_1")), tmp_path / "unnamed")
    with pytest.raises(ModelError, match="id2label"):
        starting_from(tiny_model(), tmp_path / "run", teacher=str(unnamed), **options).train()
