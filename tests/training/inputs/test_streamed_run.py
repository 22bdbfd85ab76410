"""A run whose target is streamed: it stops, goes on exactly, and notices other shards."""

import json

import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDataset
from safetensors.torch import load_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.interruptions import signal_at
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain

STEPS = 40


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, size in enumerate((90, 3, 41)):
        lines = [f"{WORDS[(7 * number + i) % 90]} {WORDS[i % 31]}" for i in range(size)]
        (folder / f"{number}.txt").write_text("\n".join(lines) + "\n")
    return folder


def trainer_for(folder, shards, **options):
    args = AdaptationConfig(
        output_dir=str(folder),
        shuffle_buffer_size=16,
        precision="fp32",
        max_steps=STEPS,
        per_device_train_batch_size=4,
        compare_source_only=False,
        disable_tqdm=True,
        data_doctor="off",
        **{"method": "dann", "streaming": True, **options},
    )
    return AdaptationTrainer(
        tiny_model(),
        args,
        toy_domain("reviews", 30),
        shards if isinstance(shards, IterableDataset) else str(shards),
        processing_class=tiny_tokenizer(),
    )


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


@pytest.mark.parametrize("step", [STEPS // 2 - 1, STEPS - 2])
def test_a_stopped_run_goes_on_exactly(tmp_path, shards, monkeypatch, step):
    from nlp_adapt.errors import RunStopped

    whole = trainer_for(tmp_path / "whole", shards).train()
    with monkeypatch.context() as patch:
        signal_at(patch, step)
        with pytest.raises(RunStopped):
            trainer_for(tmp_path / "stopped", shards).train()
    resumed = trainer_for(tmp_path / "stopped", shards, resume=True).train()
    assert resumed["resumed"] == {"step": step + 1, "exact": True, "notes": []}
    assert resumed["adapted"]["ledger"] == whole["adapted"]["ledger"]
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "stopped")[name]), name


def test_other_shards_are_refused_on_resume(tmp_path, shards, monkeypatch):
    from nlp_adapt.errors import RunError, RunStopped

    with monkeypatch.context() as patch:
        signal_at(patch, 1)
        with pytest.raises(RunStopped):
            trainer_for(tmp_path / "run", shards).train()
    (shards / "3.txt").write_text("word1 word2\n")
    with pytest.raises(RunError, match="data of the target_stream: was"):
        trainer_for(tmp_path / "run", shards, resume=True).train()


def test_the_command_line_streams_and_evaluates(
    tmp_path, run_cli, tiny_model_dir, toy_source_csv, toy_target_jsonl
):
    code, out, err = run_cli(
        *("train", "--model", tiny_model_dir, "--source", toy_source_csv, "--streaming"),
        *("--target", toy_target_jsonl, "--target_test", toy_target_jsonl, "--max_steps", 3),
        *("--output_dir", tmp_path / "run", "--precision", "fp32", "--json", "--method", "udalm"),
    )
    assert code == 0, err
    results = json.loads(out)
    assert 0 <= results["adapted"]["target"]["accuracy"] <= 1
    assert len(results["fingerprints"]["target_stream"]) == 64


def test_a_stream_that_cannot_be_read_is_one_sentence(
    tmp_path, run_cli, tiny_model_dir, toy_source_csv
):
    code, _, err = run_cli(
        *("train", "--model", tiny_model_dir, "--source", toy_source_csv, "--streaming"),
        *("--target", tmp_path / "none.jsonl", "--output_dir", tmp_path / "run"),
    )
    assert code == 2
    assert "none.jsonl does not exist" in err
    assert len(err.strip().splitlines()) == 1


@pytest.fixture
def words(tmp_path, tiny_model_dir, toy_source_csv):
    """A short run on shards in tmp_path, several windows long."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, size in enumerate((40, 1, 20)):
        lines = [
            f"the phone was so {'good' if i % 3 else 'dull'} {number} {i}" for i in range(size)
        ]
        (folder / f"{number}.txt").write_text("\n".join(lines) + "\n")
    return (
        *("train", "--model", tiny_model_dir, "--source", toy_source_csv, "--streaming"),
        *("--target", folder, "--output_dir", tmp_path / "run", "--shuffle_buffer_size", 15),
        *("--max_steps", 40, "--precision", "fp32", "--no_compare_source_only"),
        *(
            "--per_device_train_batch_size",
            2,
            "--disable_tqdm",
            "--data_doctor",
            "off",
            "--method",
            "dann",
        ),
    )


def test_unreadable_rows_end_the_run_or_are_counted_in_its_results(tmp_path, words, run_cli):
    (tmp_path / "shards" / "3.jsonl").write_text('{"text": "my train"}\n{"text"\n{"text": " "}\n')
    code, _, err = run_cli(*words)
    assert code == 2
    assert "3.jsonl:2 is not valid JSON" in err
    assert "Set quarantine" in err
    assert len(err.strip().splitlines()) == 1
    code, _, err = run_cli(*words, "--quarantine", 1, "--overwrite")
    assert code == 0, err
    left_out = json.loads((tmp_path / "run" / "results.json").read_text())["adapted"]["left_out"]
    assert left_out["without_text"] == {"rows": 1, "first": ["3.jsonl:3"]}
    assert left_out["unreadable"]["rows"] == 1
    assert left_out["unreadable"]["first"][0].startswith("3.jsonl:2 is not valid JSON")


def test_a_teacher_that_knows_no_streamed_row_is_refused(tmp_path, shards):
    """Its answers are computed once, before training: on streamed rows nothing would be learnt."""
    options = {"method": "distillation", "teacher": str(tmp_path / "teacher")}
    with pytest.raises(ConfigError, match="turn streaming off"):
        trainer_for(tmp_path / "run", shards, **options)
    of_source = {"distillation": {"domains": "source"}}
    trainer_for(tmp_path / "run", shards, **options, options=of_source)


def texts_of(words):
    for word in words:
        yield {"text": f"{word} {word}"}


def iterable(words=WORDS):
    """A target in a shard for each word."""
    return IterableDataset.from_generator(texts_of, gen_kwargs={"words": list(words[:60])})


def test_an_iterable_dataset_is_a_target_that_goes_on_exactly(tmp_path, monkeypatch):
    from nlp_adapt.errors import RunStopped

    given = iterable()
    assert given.num_shards > 1
    whole = trainer_for(tmp_path / "whole", given).train()
    with monkeypatch.context() as patch:
        signal_at(patch, STEPS // 2)
        with pytest.raises(RunStopped):
            trainer_for(tmp_path / "stopped", iterable()).train()
    resumed = trainer_for(tmp_path / "stopped", iterable(), resume=True).train()
    assert resumed["resumed"]["exact"]
    assert resumed["adapted"]["ledger"] == whole["adapted"]["ledger"]


def test_an_iterable_dataset_needs_streaming(tmp_path):
    with pytest.raises(DataError, match="with streaming=True, an IterableDataset"):
        trainer_for(tmp_path, iterable(), streaming=False).train()


def test_what_cannot_be_streamed_is_one_sentence(tmp_path):
    from nlp_adapt.training.inputs.domains import gather_inputs

    rows = Dataset.from_dict({"text": ["good film", "bad film"]})
    args = AdaptationConfig(output_dir=str(tmp_path), streaming=True)
    for given in (rows, DatasetDict(train=rows)):
        with pytest.raises(DataError, match=f"^{type(given).__name__} cannot be streamed"):
            gather_inputs(args, toy_domain("reviews", 30), given)
