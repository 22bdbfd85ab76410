"""An ONNX file computes what the model computes."""

import json

import numpy as np
import pytest
import torch
import transformers

from nlp_adapt.errors import ConfigError, ModelError, RunError
from nlp_adapt.prediction.export import OnnxModel, export_onnx
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer


def saved_model(folder, architecture="bert", task="SequenceClassification"):
    model = tiny_model(architecture, task, labels=3)
    if task == "TokenClassification":
        model.config.id2label = dict(enumerate(["O", "B-X", "I-X"]))
        model.config.label2id = {name: index for index, name in model.config.id2label.items()}
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def packages():
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)


@pytest.mark.parametrize(
    ("architecture", "task"),
    [("bert", "SequenceClassification"), ("roberta", "TokenClassification"),
     ("distilbert", "SequenceClassification")],
)  # fmt: skip
def test_logits_equal_pytorchs_at_shapes_never_traced(tmp_path, architecture, task):
    model = saved_model(tmp_path / "model", architecture, task)
    result = export_onnx(model, tmp_path / "onnx")
    assert result["difference"] < 1e-4
    plain = getattr(transformers, f"AutoModelFor{task}").from_pretrained(model).eval()
    graph = OnnxModel(tmp_path / "onnx")
    for rows, width in ((2, 7), (5, 20), (1, 3)):
        ids = np.random.default_rng(rows).integers(5, 90, (rows, width))
        mask = np.ones_like(ids)
        with torch.no_grad():
            wanted = plain(torch.from_numpy(ids), torch.from_numpy(mask)).logits.numpy()
        np.testing.assert_allclose(graph.logits(ids, mask), wanted, atol=1e-4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "onnx")
    assert tokenizer("word1")["input_ids"] == tiny_tokenizer()("word1")["input_ids"]


def test_int8_is_smaller_and_close(tmp_path):
    model = saved_model(tmp_path / "model")
    full = export_onnx(model, tmp_path / "full")
    small = export_onnx(model, tmp_path / "small", int8=True)
    assert small["bytes"] < 0.8 * full["bytes"]
    assert full["difference"] < small["difference"] < 0.5


def test_the_command(tmp_path, run_cli):
    model = saved_model(tmp_path / "model")
    code, out, err = run_cli("export", model, "--onnx", "--output-dir", tmp_path / "o", "--json")
    assert code == 0, err
    assert json.loads(out)["bytes"] > 0
    code, _, err = run_cli("export", model, "--output-dir", tmp_path / "p")
    assert code == 2
    assert "--onnx" in err


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    model = saved_model(tmp_path / "model")
    with pytest.raises(RunError, match="there already"):
        export_onnx(model, tmp_path / "model")
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot be opened as an ONNX model"):
        OnnxModel(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"nlp-adapt\[onnx\]"):
        export_onnx(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
