"""Several models as one, and one that learns from them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from tokenizers.normalizers import Replace

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ConfigError, ModelError, RunError
from nlp_adapt.modeling.outputs import DomainOutput, Progress
from nlp_adapt.objectives import Setup, build_objective
from nlp_adapt.prediction.joining import held_out_rows, soup, stack
from nlp_adapt.prediction.opening import (
    EnsemblePredictor,
    load_members,
    load_predictor,
    save_ensemble,
)
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.tiny_encoders import random_rows, tiny_model, tiny_tokenizer
from tests.helpers.trainers import trainer_for

TEXTS = ["word1 word2", "word9", "word30 word31 word3", "word77 word5"]


def saved_model(folder, seed=0, architecture="bert", labels=2, task="SequenceClassification"):
    torch.manual_seed(seed)
    model = tiny_model(architecture, task, labels=labels, seed=seed)
    with torch.no_grad():  # random heads agree too much to tell models apart
        for parameter in model.classifier.parameters():
            parameter *= 20
    if task == "TokenClassification":
        model.config.id2label = {0: "O", 1: "B-X"}
        model.config.label2id = {"O": 0, "B-X": 1}
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [saved_model(folder / str(seed), seed) for seed in range(3)]


def positive(predictor):
    return np.array([one["scores"]["positive"] for one in predictor.predict(TEXTS)])


def test_probabilities_are_averaged_and_saved(models, tmp_path):
    apart = np.mean([positive(load_predictor(model)) for model in models], axis=0)
    save_ensemble(tmp_path / "ensemble", models)
    np.testing.assert_allclose(positive(load_predictor(tmp_path / "ensemble")), apart, atol=1e-6)


def test_stacking_learns_which_member_to_trust(models, tmp_path):
    members = load_members(models)
    rows = random_rows(120, 5)
    logits = members[1].logits(rows)
    middle = np.median(logits[:, 1] - logits[:, 0])
    truth = (logits[:, 1] - logits[:, 0] > middle).astype(np.int64)
    rows = replace(rows, labels=truth)
    weights = stack(members, rows)
    stacked = EnsemblePredictor(members, weights)
    fresh = random_rows(80, 6)
    logits = members[1].logits(fresh)
    right = (logits[:, 1] - logits[:, 0] > middle).astype(np.int64)
    agreement = (stacked.logits(fresh).argmax(-1) == right).mean()
    assert agreement > 0.8
    assert agreement > (EnsemblePredictor(members).logits(fresh).argmax(-1) == right).mean()
    save_ensemble(tmp_path / "stack", models, weights)
    opened = load_predictor(tmp_path / "stack")
    np.testing.assert_allclose(opened.logits(fresh), stacked.logits(fresh), atol=1e-4)
    one_class = replace(rows, labels=np.zeros_like(truth))
    with pytest.raises(ModelError, match="rows of every class"):
        stack(members, one_class)


def test_a_uniform_soup_is_the_mean_of_the_weights(models):
    members = load_members(models)
    model, chosen = soup(members)
    assert chosen == [0, 1, 2]
    for name, value in model.state_dict().items():
        every = torch.stack([one.task_model.state_dict()[name].float() for one in members])
        torch.testing.assert_close(value.float(), every.mean(0))


def test_a_greedy_soup_leaves_out_what_harms(models):
    members = load_members(models)
    wanted = [one.task_model.classifier.bias.clone() for one in members]
    marks = {0: 0.0, 1: 9.0, 2: 0.2}
    for index, mark in marks.items():
        members[index].task_model.classifier.bias.data.fill_(mark)

    def score(model):  # the closer to 0 the better
        return -abs(model.classifier.bias.mean().item())

    _, chosen = soup(members, score)
    assert chosen == [0]
    members[2].task_model.classifier.bias.data.fill_(0.0)
    _, chosen = soup(members, score)
    assert chosen == [0, 2]
    for member, bias in zip(members, wanted, strict=True):
        member.task_model.classifier.bias.data.copy_(bias)


def test_members_that_do_not_fit_are_refused(models, tmp_path):
    with pytest.raises(ConfigError, match="at least two"):
        load_members(models[:1])
    with pytest.raises(ModelError, match="its labels differ"):
        load_members([models[0], saved_model(tmp_path / "three", labels=3)])
    with pytest.raises(ModelError, match="its task differ"):
        load_members([models[0], saved_model(tmp_path / "tag", task="TokenClassification")])
    other = load_members([models[0], saved_model(tmp_path / "roberta", architecture="roberta")])
    with pytest.raises(ModelError, match="one architecture"):
        soup(other)
    with pytest.raises(RunError, match="there already"):
        save_ensemble(tmp_path, models)
    with pytest.raises(ModelError, match="someone/model: is no local folder"):
        save_ensemble(tmp_path / "remote", [models[0], "someone/model"])
    assert not (tmp_path / "remote").exists()
    folder = tmp_path / "ensemble"
    save_ensemble(folder, models)
    with pytest.raises(ModelError, match="name its members"):
        soup(load_members([models[0], folder]))
    (folder / "ensemble.json").write_text(json.dumps({"members": ["../three", "member-1"]}))
    with pytest.raises(ModelError, match="inside"):
        load_predictor(folder)


def test_the_commands(models, tmp_path, run_cli):
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "word1,positive\nword2 word7,negative\n" * 20)
    data = ["--data", rows]
    for how, more in (("average", []), ("stack", data), ("soup", []), ("soup", data),
                      ("soup", [*data, "--target", rows])):  # fmt: skip
        out = tmp_path / f"{how}-{len(more)}"
        code, text, err = run_cli("ensemble", *models, "--how", how, "--output-dir", out, *more)
        assert code == 0, err
        assert str(out) in text
        assert ((positive(load_predictor(out)) > 0) & (positive(load_predictor(out)) < 1)).all()
        assert ((out / "model" / "model.safetensors").is_file()) is (how == "soup")
    for words, message in (
        ([models[0], "--output-dir", tmp_path / "x"], "at least two"),
        ([*models, "--how", "stack", "--output-dir", tmp_path / "x"], "--data"),
        ([*models, "--output-dir", tmp_path], "there already"),
    ):
        code, _, err = run_cli("ensemble", *words)
        assert code == 2
        assert message in err


def test_stacking_reads_no_training_rows_where_there_are_others(models):
    train = make_dataset(
        "sequence-classification", ["word1"], ["a:0"], [0], ("negative", "positive")
    )
    held = make_dataset(
        "sequence-classification", ["word2", "word3"], ["a:1", "a:2"], [0, 1],
        ("negative", "positive"),
    )  # fmt: skip
    member = load_predictor(models[0])
    for splits, expected in (
        ({"train": train, "validation": held}, 2),
        ({"train": train, "test": held}, 2),
        ({"train": train}, 1),
    ):
        domain = Domain("a", "sequence-classification", **splits)
        assert len(held_out_rows(domain, member)) == expected


def test_the_distillation_loss_against_a_rewrite():
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3)

    def side(logits, soft, count):
        units = torch.arange(len(logits))
        return DomainOutput(torch.zeros(len(logits), 4), logits, torch.full_like(units, -100),
                            units, units, count, 0.0, teacher=soft)  # fmt: skip

    nothing = side(torch.zeros(0, 3), None, 0.0)
    objective = build_objective("distillation", {"temperature": 3.0}, Setup(4, 3))
    terms = objective.losses(nothing, side(student, teacher, 5.0), Progress(0, 1))
    expected = 9.0 * F.kl_div((student / 3).log_softmax(-1), (teacher / 3).softmax(-1),
                              reduction="batchmean")  # fmt: skip
    torch.testing.assert_close(terms["distillation"], expected)
    hits = (student.argmax(-1) == teacher.argmax(-1)).float().mean()
    assert terms["distillation/agreement"] == hits
    assert objective.losses(nothing, nothing, Progress(0, 1))["distillation"] == 0.0


@pytest.mark.parametrize("freeze", ["none", "all"])
def test_a_student_of_another_kind_learns_from_an_ensemble(models, tmp_path, monkeypatch, freeze):
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "cache"))
    save_ensemble(tmp_path / "teacher", models)
    trainer = trainer_for(
        tmp_path, "distilbert", method="distillation", teacher=str(tmp_path / "teacher"),
        compare_source_only=False, max_steps=60, learning_rate=3e-3, freeze=freeze,
        per_device_train_batch_size=12, eval_strategy="no",
    )  # fmt: skip
    trainer.train()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()]
    losses = [line["distillation"] for line in lines if "distillation" in line]
    assert np.mean(losses[-5:]) < (0.5 if freeze == "none" else 1.0) * np.mean(losses[:5])
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "run" / "model"
    )
    assert plain.config.model_type == "distilbert"


def test_a_tagger_learns_from_another_words_aligned(tmp_path):
    texts = [[f"word{i % 9}", f"word{i % 5 + 20}"] for i in range(12)]
    places = [f"a:{i}" for i in range(12)]
    tags = [[i % 2, 2] for i in range(12)]
    teacher = tiny_model("bert", "TokenClassification", labels=3)
    teacher.config.id2label = dict(enumerate(["O", "B-X", "I-X"]))
    teacher.config.label2id = {name: i for i, name in teacher.config.id2label.items()}
    teacher.save_pretrained(tmp_path / "teacher")
    tiny_tokenizer().save_pretrained(tmp_path / "teacher")
    rows = make_dataset("token-classification", texts, places, tags, ("B-X", "I-X", "O"))
    config = AdaptationConfig(
        output_dir=str(tmp_path / "run"), task="token-classification", precision="fp32",
        method="distillation", teacher=str(tmp_path / "teacher"), max_steps=1, disable_tqdm=True,
        compare_source_only=False, data_doctor="off",
    )  # fmt: skip
    trainer = AdaptationTrainer(
        tiny_model("roberta", "TokenClassification", labels=("O", "B-X", "I-X")), config,
        Domain("a", "token-classification", train=rows),
        Domain("b", "token-classification", unlabelled=rows.remove_columns("labels")),
        processing_class=tiny_tokenizer(),
    )  # fmt: skip
    found = trainer.data.train["target"].teacher
    predictor = load_predictor(tmp_path / "teacher")
    wanted = predictor.logits(predictor.task.encode(rows, predictor.tokenizer, 16))
    order = [["O", "B-X", "I-X"].index(name) for name in trainer.task.label_names]
    np.testing.assert_allclose(found, wanted[:, order], atol=1e-5)
    trainer.train()


def test_a_teacher_is_needed_and_must_fit(tmp_path, models):
    with pytest.raises(ConfigError, match="set `teacher`"):
        trainer_for(tmp_path, method="distillation")
    other = saved_model(tmp_path / "three", labels=3)
    with pytest.raises(ModelError, match="its labels are negative, positive, neutral"):
        trainer_for(tmp_path, method="distillation", teacher=str(other)).train()
    tagger = saved_model(tmp_path / "tag", task="TokenClassification")
    with pytest.raises(ModelError, match="does token-classification"):
        trainer_for(tmp_path, method="distillation", teacher=str(tagger), overwrite=True).train()


def test_an_ensemble_has_no_features_to_answer_from(models, tmp_path):
    """Else the first member alone would answer wherever features are asked for."""
    save_ensemble(tmp_path / "ensemble", models)
    with pytest.raises(ModelError, match="no features of its own"):
        load_predictor(tmp_path / "ensemble").predict_with_features(TEXTS)


def test_members_that_split_text_otherwise_are_refused(tmp_path):
    for name in ("one", "two"):
        tiny_model("bert", labels=["no", "yes"]).save_pretrained(tmp_path / name)
    tiny_tokenizer().save_pretrained(tmp_path / "one")
    other = tiny_tokenizer()
    other.backend_tokenizer.normalizer = Replace("word", "x")
    other.save_pretrained(tmp_path / "two")
    with pytest.raises(ModelError, match="way to split text differs"):
        load_members([tmp_path / "one", tmp_path / "two"])
