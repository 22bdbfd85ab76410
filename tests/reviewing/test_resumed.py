"""A run that was trained, reviewed and resumed keeps what the review has chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nlp_adapt.cli import main
from nlp_adapt.prediction.likeness import STATISTICS
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.reviewing.session import review
from nlp_adapt.reviewing.state import load
from nlp_adapt.training.saving.run_folder import RunFolder
from tests.helpers.reviewed import spread_model
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("trained")
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    for name, first in (("reviews", 30), ("tweets", 50)):
        rows = "".join(
            f"{WORDS[first + i % 7]} {WORDS[i % 9]} {WORDS[20 + i % 11]} {WORDS[(i * 7) % 60]},"
            f"{'no' if i % 2 else 'yes'}\n"
            for i in range(80)
        )
        (folder / f"{name}.csv").write_text(f"text,label\n{rows}")
    command = ["train", "--model", str(folder / "model"), "--method", "dann", "--max_steps", "2"]
    command += ["--source", str(folder / "reviews.csv"), "--target", str(folder / "tweets.csv")]
    command += ["--per_device_train_batch_size", "8", "--learning_rate", "0.01"]
    command += ["--output_dir", str(folder / "run"), "--options.dann.weight", "5"]
    command += ["--data_doctor", "report", "--fall_back", "false"]
    assert main([*command, "--disable_tqdm"]) == 0
    run = folder / "run"
    texts = [line.partition(",")[0] for line in (folder / "tweets.csv").read_text().splitlines()]
    for seed, path in enumerate((run / "model", run / "source_only" / "model")):
        spread_model(texts[1:], ("no", "yes"), seed).save_pretrained(path)  # models that differ
        RunFolder(run).manifest.seal(path)
    return run, command


def test_a_resume_keeps_what_was_chosen(trained: tuple[Path, list[str]], capsys) -> None:
    run, command = trained
    folder = RunFolder(run)
    found = review(run, rows=1000, agreeing=0)
    assert found["rows"] > 10
    twin = load_predictor(run / "source_only" / "model")
    items = load(folder).items.values()
    lines = [f"{one.id},{twin.predict(one.unit.text)[0]['label']}\n" for one in items]
    labels = run.parent / "answers.csv"
    labels.write_text("id,answer\n" + "".join(lines))
    before = (folder.adaptation / STATISTICS).read_bytes()
    assert main(["review", str(run), "--labels", str(labels), "--switch_export"]) == 0
    assert "the exported model is the source-only model" in capsys.readouterr().out
    assert (folder.adaptation / STATISTICS).read_bytes() != before
    weights = (run / "model" / "model.safetensors").read_bytes()
    kept = json.loads((run / "results.json").read_text())
    assert main(["verify", str(run)]) == 0
    assert main([*command, "--resume", "--disable_tqdm"]) == 0
    after = json.loads((run / "results.json").read_text())
    assert (after["exported"], after["review"]) == ("source_only", kept["review"])
    assert (run / "model" / "model.safetensors").read_bytes() == weights
    assert main(["verify", str(run)]) == 0
    assert "By a person's answers" in (run / "model" / "README.md").read_text()


def test_the_next_run_learns_from_the_labels(trained: tuple[Path, list[str]]) -> None:
    run, command = trained
    review(run, rows=1000, agreeing=20, anew=True)
    items = load(RunFolder(run)).items.values()
    labels = run.parent / "all.csv"
    labels.write_text(
        "id,answer\n" + "".join(f"{one.id},{'no' if i % 2 else 'yes'}\n" for i, one in enumerate(items))
    )  # fmt: skip
    path = review(run, labels)["labels"]
    place = command.index("--output_dir") + 1
    again = [*command[:place], str(run.parent / "next"), *command[place + 1 :]]
    assert main([*again, "--target_few_shot", path, "--disable_tqdm"]) == 0
    results = json.loads((run.parent / "next" / "results.json").read_text())
    assert results["target_labels"]["rows"] == len(items)
