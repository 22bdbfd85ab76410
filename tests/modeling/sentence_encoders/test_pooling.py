"""Heads of frozen encoders read the pooled states that the encoder was trained to give."""

import json

import pytest
import torch
import transformers

from nlp_adapt.modeling.architectures import encoder_of
from nlp_adapt.modeling.pretrained import READING, load_task_model
from nlp_adapt.modeling.sentence_encoders.pooling import read_as_trained, trained_pooling
from nlp_adapt.modeling.units import FeatureTap, pool_tokens
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import trainer_for

SENTENCE, LABELS = "AutoModelForSequenceClassification", ["negative", "positive"]
OLD = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


def sentence_encoder(folder, architecture="bert", pooling=OLD):
    """A folder as sentence-transformers writes it; without `pooling`, a bare encoder."""
    encoder = encoder_of(tiny_model(architecture))
    encoder.config.architectures = [type(encoder).__name__]
    encoder.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    if pooling is not None:
        modules = [
            {"type": "a.Transformer", "path": ""},
            {"type": "a.Pooling", "path": "1_Pooling"},
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return str(folder)


def loaded(folder):
    return load_task_model(folder, SENTENCE, LABELS, new_head=True).eval()


BATCH = {
    "input_ids": torch.tensor([[2, 9, 10, 11, 12, 3], [2, 20, 21, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
}


@torch.no_grad()
def features(model):
    tap = FeatureTap(model)
    logits = model(**BATCH).logits
    tap.remove()
    return tap.take(BATCH), logits


@pytest.mark.parametrize(
    "architecture", ["bert", "roberta", "xlm-roberta", "electra", "distilbert", "mpnet"]
)
def test_the_head_reads_the_mean_and_the_saved_model_is_plain(tmp_path, architecture):
    folder = sentence_encoder(tmp_path / "encoder", architecture)
    model = loaded(folder)
    with torch.no_grad():
        states = encoder_of(model)(**BATCH)[0]
    read_as_trained(model, folder)
    found, logits = features(model)
    mean = pool_tokens(states, BATCH["attention_mask"], "mean")
    wanted = torch.nn.functional.layer_norm(mean, mean.shape[1:])
    # But for the scale, the curve of the activation, and MPNet's bias by distance.
    assert torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1] > 0.98
    assert "mean of its last states, in a layer of its own (3 in all)" in getattr(model, READING)

    model.save_pretrained(tmp_path / "saved")
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(features(plain.eval())[1], logits)


def test_the_first_state_needs_no_layer(tmp_path):
    folder = sentence_encoder(tmp_path, pooling={"pooling_mode": "cls"})
    model = loaded(folder)
    with torch.no_grad():
        states = encoder_of(model)(**BATCH)[0]
    read_as_trained(model, folder)
    assert model.config.num_hidden_layers == 2
    torch.testing.assert_close(features(model)[0], torch.tanh(0.3 * states[:, 0]))


def test_a_new_dense_layer_is_replaced_and_a_trained_one_kept(tmp_path):
    folder = sentence_encoder(tmp_path / "roberta", "roberta", pooling=None)
    model = loaded(folder)
    read_as_trained(model, folder)
    assert model.config.num_hidden_layers == 3  # RoBERTa comes without the dense layer of a head
    folder = sentence_encoder(tmp_path / "bert", pooling=None)
    model = loaded(folder)
    read_as_trained(model, folder)
    assert model.config.num_hidden_layers == 2  # BERT's pooler comes with it


def test_what_cannot_be_plain_is_said(tmp_path):
    folder = sentence_encoder(tmp_path, "deberta-v2")
    model = loaded(folder)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    read_as_trained(model, folder)
    assert "deberta-v2 cannot read the mean" in getattr(model, READING)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


@pytest.mark.parametrize(
    ("pooling", "how"),
    [
        (OLD, "mean"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "first"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, None),
        ({"pooling_mode": "max"}, None),
        ([], None),
    ],
)
def test_how_a_folder_pools(tmp_path, pooling, how):
    assert trained_pooling(sentence_encoder(tmp_path, pooling=pooling)) == how


def test_no_file_outside_of_the_folder_is_read(tmp_path):
    folder = tmp_path / "encoder"
    sentence_encoder(folder)
    (tmp_path / "config.json").write_text(json.dumps(OLD))
    (folder / "modules.json").write_text(json.dumps([{"type": "a.Pooling", "path": ".."}]))
    assert trained_pooling(str(folder)) is None


def layers_after(tmp_path, folder, **options):
    trainer = trainer_for(tmp_path, model=folder, data_doctor="off", **options)
    trainer.train()
    model, twin = (
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / part)
        for part in ("model", "source_only/model")
    )
    torch.testing.assert_close(model.eval()(**BATCH).logits, trainer.model.eval()(**BATCH).logits)
    assert twin.config.num_hidden_layers == model.config.num_hidden_layers
    return model.config.num_hidden_layers


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"method": "shallow_coral"}, 3),
        ({"method": "dann", "freeze": "all"}, 3),
        ({"method": "dann", "freeze": "embeddings"}, 2),
        ({"stages": [{"fit": "logistic_regression"}, {"objectives": ["task"], "steps": 1}]}, 2),
    ],
    ids=["fitted", "frozen", "trained", "fitted, then trained"],
)
def test_runs_with_a_frozen_encoder(tmp_path, monkeypatch, caplog, options, layers):
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "cache"))
    folder = sentence_encoder(tmp_path / "encoder")
    assert layers_after(tmp_path, folder, **options) == layers
    said = [one for one in caplog.records if "is read by the mean" in one.getMessage()]
    assert len(said) == (layers == 3)
