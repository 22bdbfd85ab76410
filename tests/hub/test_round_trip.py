"""From a run to the Hub and back: pushed after training, opened, continued, read as a domain."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.helpers.hub_client import Client
from tests.helpers.loopback import TOKEN, LoopbackHub

Words = Callable[..., Sequence[object]]


@pytest.fixture
def train_words(
    tiny_model_dir: Path, toy_source_csv: Path, toy_target_jsonl: Path, tmp_path: Path
) -> Sequence[object]:
    """A short `nlp-adapt train` that pushes to me/model when it ends."""
    return (
        *("train", "--model", tiny_model_dir, "--source", toy_source_csv),
        *("--target", toy_target_jsonl, "--target-test", toy_target_jsonl),
        *("--max-steps", 2, "--per-device-train-batch-size", 8, "--max-length", 32),
        *("--precision", "fp32", "--disable-tqdm", "--no-compare-source-only"),
        *(
            "--method",
            "dann",
            "--push-to-hub",
            "--hub-model-id",
            "me/model",
            "--output-dir",
            tmp_path / "run",
        ),
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_push_at_the_end_of_training_and_back(
    hub: LoopbackHub, client: Client, train_words: Sequence[object], tmp_path: Path
) -> None:
    code, out, err = client.command(*train_words, "--hub-private-repo", "--hub-license", "mit")
    assert code == 0, err
    repo = hub.repos["models/me/model"]
    assert repo.private
    assert repo.history == ["Add adapted model", "initial commit"]
    assert b"license: mit" in repo.files["README.md"]

    # No token and no folder of this machine in anything that was written or said.
    for content in [*files_of(tmp_path / "run").values(), out.encode(), err.encode()]:
        assert TOKEN.encode() not in content
    for name, content in repo.files.items():
        assert str(tmp_path.parent).encode() not in content, name

    # A plain pipeline opens it where nlp_adapt is not importable.
    program = """
import sys
from transformers import pipeline

own = {name: sys.modules.pop(name) for name in [*sys.modules] if name.split(".")[0] == "nlp_adapt"}
sys.modules["nlp_adapt"] = None
try:
    answer = pipeline("text-classification", "me/model")("good film")[0]["label"]
finally:
    sys.modules.update(own)
"""
    assert client.program(program) in ("negative", "positive")

    # `nlp-adapt predict` opens it too, with its statistics, and later also without the Hub.
    words = ("predict", "me/model", train_words[4], "--domain-likeness", "--json", "--out")
    code, _, err = client.command(*words, tmp_path / "one.csv")
    assert code == 0, err
    offline = [str(word) for word in (*words, tmp_path / "two.csv")]
    hub.requests.clear()
    program = (
        "from huggingface_hub import constants\n"
        "from nlp_adapt.cli import main\n"
        "constants.HF_HUB_OFFLINE = True\n"
        "try:\n"
        f"    answer = main({offline!r})\n"
        "finally:\n"
        "    constants.HF_HUB_OFFLINE = False\n"
    )
    assert client.program(program) == 0
    assert hub.requests == []
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert b"distance_target" in (tmp_path / "one.csv").read_bytes()

    # Training continues from it: same weights, same discriminator.
    program = f"""
import torch
from safetensors.torch import load_file
from nlp_adapt import AdaptationConfig, AdaptationTrainer

trainer = AdaptationTrainer.from_pretrained(
    "me/model",
    AdaptationConfig(output_dir={str(tmp_path / "next")!r}, method="dann", max_steps=1,
                     learning_rate=0.0, head_learning_rate=0.0, weight_decay=0.0, precision="fp32", disable_tqdm=True,
                     compare_source_only=False, per_device_train_batch_size=8),
    {str(train_words[4])!r}, {str(train_words[6])!r},
)
results = trainer.train()
old, new = {str(tmp_path / "run")!r}, {str(tmp_path / "next")!r}
same = []
for file in ("model/model.safetensors", "adaptation/objectives.safetensors"):
    before, after = load_file(f"{{old}}/{{file}}"), load_file(f"{{new}}/{{file}}")
    same.append(len(after) > 0 and all(torch.equal(after[name], before[name]) for name in before))
answer = [same, results["model"], results["labels"]]
"""
    assert client.program(program) == [[True, True], "me/model", ["negative", "positive"]]


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_adapters_are_pushed_and_opened_by_plain_peft(
    hub: LoopbackHub,
    client: Client,
    train_words: Sequence[object],
    tiny_model_dir: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    hub.put("me/encoder", files_of(tiny_model_dir))
    code, _, err = client.command(
        *(*train_words, "--model", "me/encoder", "--lora", "--lora-type", kind)
    )
    assert code == 0, err
    files = hub.repos["models/me/model"].files
    assert "adapter_model.safetensors" in files
    assert "model.safetensors" not in files
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "me/encoder"
    card = ModelCard(files["README.md"].decode())
    assert (card.data.library_name, card.data.base_model) == ("peft", "me/encoder")
    example = card.text.split("```python\n")[1].split("```")[0]
    program = f"""
from nlp_adapt.prediction.opening import load_predictor
{example}
answer = [model("good film")[0]]
for place in ({str(tmp_path / "run")!r}, "me/model"):
    answer += load_predictor(place).predict(["good film"])
"""
    theirs, ours, pulled = client.program(program)
    assert theirs["label"] == ours["label"] == pulled["label"]
    assert theirs["score"] == pytest.approx(ours["score"], abs=1e-5)
    assert pulled["score"] == pytest.approx(ours["score"], abs=1e-5)


def test_training_begins_where_adapters_on_the_hub_end(
    hub: LoopbackHub,
    client: Client,
    train_words: Sequence[object],
    tiny_model_dir: Path,
    tmp_path: Path,
) -> None:
    """transformers would open them with a head drawn at random."""
    hub.put("me/encoder", files_of(tiny_model_dir))
    fast = ("--lora-learning-rate", 0.1, "--head-learning-rate", 0.1, "--warmup-steps", 0)
    code, _, err = client.command(*train_words, "--model", "me/encoder", "--lora", *fast)
    assert code == 0, err
    program = f"""
import peft, torch, transformers
from nlp_adapt import AdaptationConfig, AdaptationTrainer

trainer = AdaptationTrainer(
    "me/model", AdaptationConfig(output_dir={str(tmp_path / "next")!r}, precision="fp32"),
    {str(train_words[4])!r}, {str(train_words[6])!r},
)
base = transformers.AutoModelForSequenceClassification.from_pretrained("me/encoder", num_labels=2)
theirs = peft.PeftModel.from_pretrained(base, "me/model").eval()
inputs = trainer.processing_class(
    ["good film", "my phone is bad"], padding=True, return_tensors="pt",
    return_token_type_ids=False,
)
with torch.no_grad():
    scores = [model(**inputs).logits for model in (trainer.fresh_model().eval(), theirs)]
answer = [score.tolist() for score in scores]
"""
    ours, theirs = client.program(program)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, abs=1e-5)
    code, _, err = client.command(
        *(*train_words, "--model", "me/model", "--no-push-to-hub", "--output-dir"),
        tmp_path / "next",
    )
    assert code == 0, err


def test_adapters_on_a_local_base_are_merged_for_others(
    hub: LoopbackHub, client: Client, train_words: Sequence[object], tmp_path: Path
) -> None:
    code, _, err = client.command(*train_words, "--lora")
    assert code == 2  # before training: it could not end well
    assert "set merge_lora to push a plain model" in err
    assert not (tmp_path / "run").exists()
    code, _, err = client.command(*train_words, "--lora", "--no-push-to-hub")
    assert code == 0, err
    words = ("push", tmp_path / "run", "--repo", "me/merged")
    code, out, err = client.command(*words)
    assert (code, out) == (2, "")
    assert "add --merge_lora" in err
    assert hub.repos == {}
    code, _, err = client.command(*words, "--merge-lora")
    assert code == 0, err
    files = hub.repos["models/me/merged"].files
    assert "model.safetensors" in files
    assert "adapter_config.json" not in files
    card = ModelCard(files["README.md"].decode())
    assert card.data.library_name == "transformers"
    assert "PeftModel" not in card.text
    for name, content in files.items():
        assert str(tmp_path.parent).encode() not in content, name
    assert (tmp_path / "run" / "model" / "adapter_config.json").is_file()  # the run stays
    program = f"""
from transformers import pipeline
from nlp_adapt.prediction.opening import load_predictor
answer = [pipeline("text-classification", "me/merged")("good film")[0]]
answer += load_predictor({str(tmp_path / "run")!r}).predict(["good film"])
"""
    theirs, ours = client.program(program)
    assert theirs["label"] == ours["label"]
    assert theirs["score"] == pytest.approx(ours["score"], abs=1e-5)


def test_a_failed_push_after_training_loses_nothing(
    hub: LoopbackHub, client: Client, train_words: Sequence[object], tmp_path: Path
) -> None:
    hub.fail("POST .*/commit/", 403)
    code, out, err = client.command(*train_words)
    assert code == 2
    assert "macro-F1" in out  # the results are shown all the same
    (line,) = [line for line in err.splitlines() if line.startswith("nlp-adapt: error: ")]
    assert "may not write to me/model" in line
    assert "Traceback" not in err
    assert json.loads((tmp_path / "run" / "results.json").read_text())["adapted"]["steps"] == 2
    hub.faults.clear()
    code, _, err = client.command("push", tmp_path / "run", "--repo", "me/model")
    assert code == 0, err
    assert "model.safetensors" in hub.repos["models/me/model"].files


def test_domains_and_models_of_the_hub_train(
    hub: LoopbackHub,
    client: Client,
    train_words: Sequence[object],
    tiny_model_dir: Path,
    toy_source_csv: Path,
    tmp_path: Path,
) -> None:
    hub.put("me/encoder", files_of(tiny_model_dir))
    rows = toy_source_csv.read_bytes()
    hub.put("me/reviews", {"train.csv": rows, "test.csv": rows}, kind="datasets", private=True)
    words = [*train_words, "--model", "me/encoder", "--source", "me/reviews", "--no-push-to-hub"]
    code, _, err = client.command(*words)
    assert code == 0, err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["source"]["rows"]["test"] == 96
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "base_model: me/encoder" in card
    assert "datasets:\n- me/reviews" in card


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("load_domain('me/nothing')", "nor a dataset on the Hub that you may read"),
        ("open_saved('me/nothing')", "nor a repository that you may read"),
        ("open_saved('me/empty')", "holds no trained model"),
        ("open_saved('not a/name')", "nor the name of a repository"),
    ],
)
def test_what_cannot_be_opened(hub: LoopbackHub, client: Client, program: str, says: str) -> None:
    hub.put("me/empty", {"notes.md": b"x"})
    answer = client.program(
        "from nlp_adapt import AdaptationError, load_domain\n"
        "from nlp_adapt.training.saving.continuing import open_saved\n"
        f"try:\n    {program}\n"
        "except AdaptationError as error:\n    answer = str(error)\n"
    )
    assert says in answer


def test_a_push_without_a_token_is_refused_before_training(
    train_words: Sequence[object],
    run_cli: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    code, _, err = run_cli(*train_words)
    assert code == 2
    assert "hf auth login" in err
    assert not (tmp_path / "run").exists()


def test_a_token_in_a_flag_is_not_repeated(
    train_words: Sequence[object], run_cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, err = run_cli(*train_words, "--source", f"https://me:{TOKEN}@hub.example/x.csv")
    assert code == 2
    assert "source holds an access token" in err
    assert TOKEN not in out + err
    code, _, err = run_cli("predict", f"https://me:{TOKEN}@x.example", "a.csv", "--out", "b.csv")
    assert code == 2
    assert TOKEN not in err
    assert not (tmp_path / "run").exists()


def test_nobody_is_asked_to_convert_a_pickle(
    hub: LoopbackHub, client: Client, tiny_model_dir: Path
) -> None:
    """transformers would ask a service on the Hub, and send it the token."""
    files = files_of(tiny_model_dir)
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    hub.put("me/pickled", files)
    program = """
from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.pretrained import load_task_model

try:
    load_task_model("me/pickled", "AutoModelForSequenceClassification", ["a", "b"], new_head=True)
except ModelError as error:
    answer = str(error)
"""
    assert "safetensors" in client.program(program)
    assert hub.count("HEAD .*/model.safetensors") > 0
    assert hub.count(".*/discussions") == 0
