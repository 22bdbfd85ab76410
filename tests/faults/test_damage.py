"""No damaged file of a run leads to other weights or scores that count as exact."""

import json
import shutil

import pytest
import torch

from nlp_adapt.errors import AdaptationError
from nlp_adapt.training.saving.verify import verify_run
from tests.helpers.interruptions import InterruptedRunError, crash_after, weights
from tests.helpers.trainers import trainer_for

OPTIONS = {
    "max_steps": 4,
    "discriminator_dropout": 0.3,
    "data_doctor": "off",
    "logging_steps": 3,
    "save_steps": 1,
    "save_strategy": "steps",
    "eval_strategy": "steps",
    "eval_steps": 1,
    "load_best_model_at_end": True,
}
DAMAGES = {
    "flipped": lambda content: (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    ),
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "lost": None,
}
# Written anew by each run, or read by nobody but people.
FREE = ("recipe.yaml", "README.md", "report.html")


def damage(path, how):
    change = DAMAGES[how] if isinstance(how, str) else how
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory):
    """The folder of a run whose twin is finished, and that has done 3 of 4 steps of its own."""
    folder = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch:
        crash_after(patch, 7)
        with pytest.raises(InterruptedRunError):
            trainer_for(folder, **OPTIONS).train()
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, trainer_for(folder, **OPTIONS).train()


def files_of(folder):
    run = folder / "run"
    return sorted(
        path.relative_to(run).as_posix()
        for path in run.rglob("*")
        if path.is_file() and path.name not in FREE and not path.name.startswith(".")
    )


def resumed(folder, whole):
    """The results of a resume that counts as exact; None where it was refused in a sentence."""
    try:
        results = trainer_for(folder, **OPTIONS, resume=True).train()
    except AdaptationError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert str(folder) in refused
        return None
    expected_folder, expected = whole
    assert results["resumed"]["exact"]
    for name, value in weights(expected_folder).items():
        assert torch.equal(value, weights(folder)[name]), name
    for model in ("source_only", "adapted"):
        for key in ("source", "target", "label_free", "evidence", "best", "ledger", "adversary"):
            assert results[model][key] == expected[model][key], (model, key)
    assert verify_run(folder / "run")["complete"]
    return results


def test_an_interrupted_run_ends_like_a_whole_one(broken_off, finished, tmp_path):
    shutil.copytree(broken_off / "run", tmp_path / "run")
    assert resumed(tmp_path, finished)
    steps = ("loss", "task", "dann", "step", "dann/accuracy")
    lines = [
        [
            {name: value for name, value in json.loads(line).items() if name in steps}
            for line in (folder / "run" / "log.jsonl").read_text().splitlines()
        ]
        for folder in (tmp_path, finished[0])
    ]
    assert lines[0] == lines[1]


def campaign(folder, whole, tmp_path, ways):
    outcomes = {}
    for number, (name, how) in enumerate(ways):
        copy = tmp_path / str(number)
        shutil.copytree(folder / "run", copy / "run")
        damage(copy / "run" / name, how)
        outcomes[name] = resumed(copy, whole)
        shutil.rmtree(copy)
    return outcomes


def test_damage_to_a_run_that_was_broken_off_is_never_passed_over(broken_off, finished, tmp_path):
    # One of each name: the same file of another checkpoint is damaged by the markers' tests.
    files = sorted({name.split("/")[-1]: name for name in files_of(broken_off)}.values())
    assert "adaptation/source_only.scores.json" in files
    kinds = list(DAMAGES)
    ways = [(name, kinds[place % len(kinds)]) for place, name in enumerate(files)]
    campaign(broken_off, finished, tmp_path, ways)


def test_a_finished_model_that_is_damaged_is_trained_again(broken_off, finished, tmp_path):
    weights_of_twin = "source_only/model/model.safetensors"
    outcomes = campaign(broken_off, finished, tmp_path, [(weights_of_twin, "flipped")])
    assert outcomes[weights_of_twin]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("checkpoints/best.json", "lost"),
        ("checkpoints/best.json", "flipped"),
        ("adaptation/fingerprint.json", "lost"),
        ("adaptation/manifest.json", lambda _: b"{}"),
        ("adaptation/source_only.scores.json", "cut"),
        ("log.jsonl", "flipped"),
        ("log.jsonl", "lost"),
    ],
)
def test_small_files_that_decide_something(broken_off, finished, tmp_path, name, how):
    campaign(broken_off, finished, tmp_path, [(name, how)])


def test_a_manifest_that_lacks_a_file_or_is_empty_is_no_manifest(broken_off, finished, tmp_path):
    for number, change in enumerate((lambda _: b"{}", lambda _: b"[]", lacking_optimizer)):
        copy = tmp_path / str(number)
        shutil.copytree(broken_off / "run", copy / "run")
        for path in (copy / "run" / "checkpoints").glob("step-*/manifest.json"):
            damage(path, change)
        assert resumed(copy, finished) is None


def lacking_optimizer(content):
    manifest = json.loads(content)
    return json.dumps({k: v for k, v in manifest.items() if "optimizer" not in k}).encode()


def test_an_inexact_resume_is_never_forgotten(broken_off, tmp_path, monkeypatch):
    shutil.copytree(broken_off / "run", tmp_path / "run")
    changed = {**OPTIONS, "learning_rate": 1e-3, "allow_inexact_resume": True}
    note = "option learning_rate: was 5e-05, is 0.001"
    with monkeypatch.context() as patch:
        crash_after(patch, 0)
        with pytest.raises(InterruptedRunError):
            trainer_for(tmp_path, **changed, resume=True).train()
    for _ in range(2):
        results = trainer_for(tmp_path, **changed, resume=True).train()
        assert results["resumed"]["notes"] == [note]
        assert results["adapted"]["inexact"] == [note]


def test_a_lost_fingerprint_is_told_by_every_later_resume(broken_off, tmp_path):
    shutil.copytree(broken_off / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "adaptation" / "fingerprint.json").unlink()
    with pytest.raises(AdaptationError, match=r"fingerprint\.json: missing"):
        trainer_for(tmp_path, **OPTIONS, resume=True).train()
    for _ in range(2):
        trainer = trainer_for(tmp_path, **OPTIONS, resume=True, allow_inexact_resume=True)
        (note,) = trainer.train()["resumed"]["notes"]
        assert "their fingerprint is lost" in note


def test_a_finished_run_with_a_damaged_file_is_not_complete(finished, tmp_path):
    for number, name in enumerate(files_of(finished[0])):
        copy = tmp_path / str(number)
        shutil.copytree(finished[0] / "run", copy / "run")
        damage(copy / "run" / name, "flipped")
        found = verify_run(copy / "run")
        assert not found["complete"], name
        named = any(name.split("/")[-1] in problem for problem in found["problems"])
        assert named or name == "adaptation/manifest.json", name  # which then accuses another
        shutil.rmtree(copy)


@pytest.mark.crash
@pytest.mark.parametrize("how", [name for name in DAMAGES if name != "flipped"])
def test_every_file_damaged_in_every_way(broken_off, finished, tmp_path, how):
    ways = [(name, how) for name in files_of(broken_off)]
    campaign(broken_off, finished, tmp_path, ways)


@pytest.mark.crash
def test_every_byte_range_of_every_file_flipped(broken_off, finished, tmp_path):
    ways = []
    for name in files_of(broken_off):
        size = (broken_off / "run" / name).stat().st_size
        for start in range(0, size, max(1, size // 8)):
            ways.append((name, lambda c, s=start: c[:s] + bytes([c[s] ^ 1]) + c[s + 1 :]))
    campaign(broken_off, finished, tmp_path, ways)
