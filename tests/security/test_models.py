"""Model folders of strangers: nothing in them is ever unpickled or run."""

import json
import pickle
import shutil
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.model_files import check_size
from nlp_adapt.modeling.mlm_head import load_mlm_head
from nlp_adapt.modeling.pretrained import load_task_model
from nlp_adapt.modeling.tokenizers import load_tokenizer
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.recipe import load_recipe
from nlp_adapt.training.saving.checkpoint import CheckpointFolder, verify
from tests.helpers.tiny_encoders import tiny_model
from tests.helpers.trainers import trainer_for

CLASSES = ("AutoModelForSequenceClassification", ["a", "b"])


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def sprung(tmp_path):
    return tmp_path / "sprung"


@pytest.fixture
def pickled_model(tmp_path, tiny_model_dir, sprung):
    """A model folder whose weights are a pickle that does harm."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        torch.save({"weight": Trap(sprung)}, folder / name)
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_trap_works(pickled_model, sprung):
    torch.load(pickled_model / "pytorch_model.bin", weights_only=False)
    assert sprung.exists()


def test_a_pickled_model_is_refused_unread(pickled_model, sprung):
    with pytest.raises(ModelError, match="safetensors"):
        load_task_model(str(pickled_model), *CLASSES)
    with pytest.raises(ModelError, match="safetensors"):
        load_predictor(pickled_model)
    assert load_mlm_head(str(pickled_model), tiny_model()) is None
    assert not sprung.exists()


def test_pickled_adapters_are_refused_unread(tmp_path, tiny_model_dir, sprung):
    folder = tmp_path / "adapter"
    folder.mkdir()
    adapter = {"base_model_name_or_path": str(tiny_model_dir), "peft_type": "LORA", "r": 2}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors"):
        load_task_model(str(folder), *CLASSES)
    assert not sprung.exists()


def test_a_run_writes_no_pickle(tmp_path, monkeypatch):
    monkeypatch.setattr(CheckpointFolder, "remove", lambda self: None)
    trainer_for(tmp_path, save_steps=1, max_steps=2).train()
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert any("checkpoints" in path.parts for path in files)
    for path in files:
        start = path.read_bytes()[:9]
        if path.suffix == ".safetensors":
            assert start[8:] == b"{", path  # after the length of the header comes its JSON
        else:
            assert not start.startswith((b"\x80", b"PK")), path  # a pickle, or a zip of them
        assert path.suffix in {".json", ".jsonl", ".safetensors", ".yaml", ".md", ".html", ""}, path


def test_a_pickle_beside_a_checkpoint_is_not_opened(tmp_path, sprung, monkeypatch):
    monkeypatch.setattr(CheckpointFolder, "remove", lambda self: None)
    trainer_for(tmp_path, save_steps=1, max_steps=2, compare_source_only=False).train()
    (checkpoint, *_) = sorted((tmp_path / "run" / "checkpoints").glob("step-*"), reverse=True)
    for name in ("optimizer.pt", "rng_state.pth", "random_states_0.pkl", "scheduler.pt"):
        (checkpoint / name).write_bytes(pickle.dumps(Trap(sprung)))
    found, problems = CheckpointFolder(checkpoint.parent, 2).latest()
    assert (found.path, problems) == (checkpoint, [])
    assert not sprung.exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside"])
def test_a_manifest_names_files_of_its_own_checkpoint_alone(tmp_path, name):
    (tmp_path / "MANIFEST").mkdir()
    checkpoint = CheckpointFolder(tmp_path / "checkpoints", 2).save(1, {}, {"x": {}})
    manifest = next(path for path in checkpoint.iterdir() if "anifest" in path.name)
    listed = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**listed, name: {"bytes": 0, "sha256": ""}}))
    assert "outside of the checkpoint" in verify(checkpoint)


# Code that comes with a model

REMOTE_CODE = """
from pathlib import Path
Path({sprung!r}).touch()
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast
class Config(BertConfig):
    model_type = "mine"
class Model(BertForSequenceClassification):
    config_class = Config
class Tokenizer(PreTrainedTokenizerFast):
    pass
"""


@pytest.fixture
def model_with_code(tmp_path, tiny_model_dir, sprung):
    folder = tmp_path / "coded"
    shutil.copytree(tiny_model_dir, folder)
    (folder / "mine.py").write_text(REMOTE_CODE.format(sprung=str(sprung)))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "architectures": ["Model"]}
    config["auto_map"] = {
        "AutoConfig": "mine.Config",
        "AutoModelForSequenceClassification": "mine.Model",
        "AutoModelForMaskedLM": "mine.Model",
    }
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["tokenizer_class"] = "Tokenizer"
    tokenizer["auto_map"] = {"AutoTokenizer": [None, "mine.Tokenizer"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def test_code_of_a_model_is_never_run_nor_asked_about(model_with_code, sprung, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # what a prompt would be answered
    with pytest.raises(ModelError, match="never run"):
        load_task_model(str(model_with_code), *CLASSES)
    with pytest.raises(ModelError):
        load_predictor(model_with_code)
    assert load_mlm_head(str(model_with_code), tiny_model()) is None
    for words in (True, False):
        try:
            load_tokenizer(str(model_with_code), words=words)
        except ModelError:
            continue  # refused, or opened as a plain fast tokenizer: both run nothing
    assert not sprung.exists()


@pytest.mark.parametrize("key", ["trust_remote_code", "allow_pickle", "use_safetensors"])
def test_no_recipe_can_turn_code_on(tmp_path, key):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{key}: true\n")
    with pytest.raises(ConfigError, match=f"unknown key '{key}'"):
        load_recipe(path)
    with pytest.raises(ConfigError):
        AdaptationConfig(**{key: True})


def test_a_model_without_weights_here_must_fit_into_the_memory(monkeypatch):
    """As of a Hub id, whose configuration comes before its weights."""
    memory = SimpleNamespace(total=10**6)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    config, kind = tiny_model().config, AutoModelForSequenceClassification
    config.hidden_size = 512
    with pytest.raises(ModelError, match="250,000 at most fit into the memory of this machine"):
        check_size(config, kind, "someone/model")
    memory.total = 10**12
    check_size(config, kind, "someone/model")
