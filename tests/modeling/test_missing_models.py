"""Names of models that are not there: a name that looks like a path is a path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import transformers

from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.backbone import resolve_model
from nlp_adapt.modeling.tokenizers import load_tokenizer
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.training.saving.continuing import open_saved
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.trainers import toy_domain, trainer_for


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working folder, which has runs/mine and mine/first; whoever asks the Hub fails."""

    def asked(*args: object, **kwargs: object) -> None:
        raise AssertionError("the Hub was asked")

    for name in ("hf_hub_download", "snapshot_download"):
        monkeypatch.setattr(huggingface_hub, name, asked)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", asked)
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/mine", "mine/first"):
        Path(folder, "model").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("runs/mien", "; did you mean runs/mine?"),
        ("runs/other", ""),
        ("mine/frist", "; did you mean mine/first?"),
        ("./mine", None),
        ("/no/such", ""),
        ("no/such/folder", ""),
        ("folder/", ""),
        ("C:\\runs\\mine", ""),
    ],
)
@pytest.mark.parametrize("find", [load_predictor, resolve_model, load_tokenizer, open_saved])
def test_a_path_that_is_not_there_is_said_at_once(
    no_hub: Path, find: Callable[[str], object], name: str, hint: str | None
) -> None:
    with pytest.raises(ModelError) as caught:
        find(name)
    if hint is not None:
        assert f"{name}: there is no such folder{hint or '.'}" in str(caught.value)


def test_the_command_line_says_so_too(no_hub: Path, run_cli: Callable) -> None:
    Path("rows.txt").write_text("a text\n", encoding="utf-8")
    code, _, err = run_cli("predict", "runs/mien", "rows.txt", "--out", "out.csv")
    assert code == 2
    assert err == (
        "nlp-adapt: error: runs/mien: there is no such folder; did you mean runs/mine?\n"
    )


@pytest.mark.parametrize("name", ["bert-base-cased", "google/electra-small-discriminator"])
def test_a_hub_id_stays_one(no_hub: Path, name: str) -> None:
    Path("google").mkdir()  # a folder of that name, with no model in it
    assert resolve_model(name) == name


def test_a_model_may_be_a_path_object(tiny_model_dir: Path, tmp_path: Path) -> None:
    config = trainer_for(tmp_path).args
    trainer = AdaptationTrainer(tiny_model_dir, config, toy_domain("a", 30), toy_domain("b", 50))
    assert trainer.model_name == str(tiny_model_dir)
