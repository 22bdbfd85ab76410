"""Weights that a checkpoint lacks are refused, in training as in prediction, and never drawn."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, MPNetModel

from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.backbone import model_config
from nlp_adapt.modeling.lora import add_adapters, save_task_model
from nlp_adapt.modeling.pretrained import load_encoder, load_task_model
from nlp_adapt.modeling.tokenizers import load_tokenizer
from nlp_adapt.prediction.opening import load_predictor
from tests.helpers.brought import TEXTS, reweighted, saved, starting_from, with_head
from tests.helpers.tiny_encoders import tiny_model

KIND = "AutoModelForSequenceClassification"
NAMES = ["negative", "positive"]


@pytest.fixture
def folder(tmp_path):
    return saved(with_head(NAMES), tmp_path / "given")


def without(part):
    return lambda name, value: {} if part in name else {name: value}


DAMAGE = {
    "prefix": (lambda name, value: {f"module.{name}": value}, r"and hold module\.bert\.embedd"),
    "layer": (without("layer.1."), r"lack bert\.encoder\.layer\.1\.\S+, .* and \d+ more"),
    "vocabulary": (
        lambda name, value: {name: value[:50] if "word_embeddings" in name else value},
        r"word_embeddings\.weight is \[50, 32\] in its weights, but \[95, 32\]",
    ),
    "pooler": (without("pooler"), r"lack bert\.pooler\.dense\.bias"),
}


@pytest.mark.parametrize("damage", sorted(DAMAGE))
def test_a_damaged_model_is_refused_in_training_and_prediction(tmp_path, folder, damage):
    change, reason = DAMAGE[damage]
    reweighted(folder, change)
    with pytest.raises(ModelError, match=reason):
        load_predictor(folder)
    with pytest.raises(ModelError, match=reason):
        starting_from(folder, tmp_path / "run").fresh_model()


def test_so_are_other_positions_than_the_configuration_says(tmp_path):
    folder = saved(with_head(NAMES), tmp_path / "given", max_position_embeddings=128)
    for load in (load_predictor, lambda path: starting_from(path, tmp_path / "run").fresh_model()):
        with pytest.raises(ModelError, match=r"position_embeddings\.weight is \[66, 32\]"):
            load(folder)


def test_only_training_makes_a_head(tmp_path, folder, caplog):
    reweighted(folder, without("classifier"))
    with pytest.raises(ModelError, match=r"lack a head for .*classifier\.bias, classifier\.weight"):
        load_predictor(folder)
    starting_from(folder, tmp_path / "run").fresh_model()
    assert "has no weights of its head, so it gets a new head" in caplog.text


def test_a_head_of_which_a_part_is_missing_is_new_as_a_whole(tmp_path, folder):
    reweighted(
        folder, lambda name, value: {name: value + 1} if "classifier" in name else {name: value}
    )
    reweighted(folder, without("classifier.weight"))
    model = starting_from(folder, tmp_path / "run").fresh_model()
    assert not model.classifier.bias.any()


def test_what_a_bare_encoder_lacks_is_part_of_the_head(tmp_path):
    """Most masked language models have no pooler, and RoBERTa's classifier has none either."""
    for number, architecture in enumerate(
        ("bert", "roberta", "deberta-v2", "modernbert", "albert")
    ):
        model = AutoModelForMaskedLM.from_config(tiny_model(architecture).config)
        path = saved(model, tmp_path / architecture)
        fresh = starting_from(path, tmp_path / f"run{number}").fresh_model()
        theirs = dict(model.base_model.named_parameters())
        for name, value in fresh.base_model.named_parameters():
            assert "pooler" in name or torch.equal(value, theirs[name]), name


def test_sentence_encoders_open(tmp_path, tiny_model_dir):
    torch.manual_seed(0)
    mpnet = saved(MPNetModel(tiny_model("mpnet").config), tmp_path / "mpnet")
    for path in (mpnet, tiny_model_dir):
        load_task_model(str(path), KIND, NAMES, new_head=True)
        load_encoder(str(path))


def test_an_encoder_for_infilled_words_must_be_whole(folder):
    reweighted(folder, without("layer.1."))
    with pytest.raises(ModelError, match=r"lack encoder\.layer\.1"):
        load_encoder(str(folder))


def test_adapters_must_be_whole_and_bring_the_head_that_their_base_lacks(tmp_path, folder):
    reweighted(folder, without("classifier"))
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.config.id2label = dict(enumerate(NAMES))
    save_task_model(add_adapters(model), tmp_path / "whole")
    load_task_model(str(tmp_path / "whole"), KIND, NAMES)
    broken = tmp_path / "broken"
    for part, config, reason in (
        ("lora_A", {}, "missing adapter keys"),
        ("classifier", {}, "KeyError: 'base_model.model.classifier"),
        ("classifier", {"modules_to_save": None, "task_type": None}, "lack a head for"),
    ):
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", broken)
        file = broken / "adapter_model.safetensors"
        save_file({n: v for n, v in load_file(file).items() if part not in n}, file)
        written = json.loads((broken / "adapter_config.json").read_text())
        (broken / "adapter_config.json").write_text(json.dumps({**written, **config}))
        with pytest.raises(ModelError, match=reason):
            load_task_model(str(broken), KIND, NAMES)


# Loaders that raise what they like


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n"


@pytest.mark.parametrize(
    ("config", "weights", "reason"),
    [
        ({}, POINTER.encode(), r"model\.safetensors is a pointer of Git LFS; run `git lfs pull`"),
        ({}, b"", "safetensors file is damaged; download it again"),
        ({}, b"<html>404</html>", "safetensors file is damaged; download it again"),
        ({"attn_implementation": "flash_attention_2"}, None, "set attn_implementation to sdpa"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            None,
            "quantization_config is .* choose a plain model",
        ),
        ({"hidden_dropout_prob": "0.1"}, None, r"'hidden_dropout_prob'.*: correct its config\.json"),
        ({"hidden_act": "nonesuch"}, None, "KeyError: 'nonesuch'"),
        ({"id2label": ["a", "b"]}, None, "must be a mapping of numbers and names"),
        ({"model_type": "nonesuch"}, None, "model type `nonesuch`"),
    ],
)  # fmt: skip
def test_an_error_of_a_loader_is_one_sentence(tmp_path, folder, config, weights, reason):
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**written, **config}))
    if weights is not None:
        (folder / "model.safetensors").write_bytes(weights)
    for load in (load_predictor, lambda path: starting_from(path, tmp_path / "run").fresh_model()):
        with pytest.raises(ModelError, match=reason) as caught:
            load(folder)
        assert str(caught.value).startswith(str(folder))
        assert "\n" not in str(caught.value)


def test_damaged_files_beside_the_weights_are_said_too(folder):
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        model_config(str(folder))
    (folder / "config.json").write_text(config)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="the tokenizer cannot be loaded"):
        load_tokenizer(str(folder))
    (folder / "tokenizer.json").write_text(POINTER)
    with pytest.raises(ModelError, match=r"tokenizer\.json is a pointer"):
        load_tokenizer(str(folder))


@pytest.mark.parametrize("kind", ["name", "object"])
def test_a_model_that_answers_in_tuples_works(tmp_path, kind):
    model = with_head(NAMES)
    folder = saved(model, tmp_path / "given", return_dict=False)
    model.config.return_dict = False
    wanted = load_predictor(folder).predict(TEXTS)
    trainer = starting_from(folder if kind == "name" else model, tmp_path / "run")
    trainer.train()
    assert trainer.predict(TEXTS)[0]["label"] == wanted[0]["label"]
    assert load_predictor(tmp_path / "run").predict(TEXTS)[0]["label"] == wanted[0]["label"]
