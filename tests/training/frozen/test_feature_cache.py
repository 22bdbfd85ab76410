"""Training from cached states gives what running the frozen encoder gives."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.modeling import trunk as trunk_module
from nlp_adapt.modeling.architectures import encoder_layers
from nlp_adapt.training.frozen import feature_cache, last_states
from nlp_adapt.training.frozen.last_states import LastStates, digest
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.interruptions import assert_resumes, weights
from tests.helpers.tiny_encoders import ARCHITECTURES, random_rows, tiny_model, tiny_tokenizer
from tests.helpers.trainers import trainer_for

SEPARATE = sorted(set(ARCHITECTURES) - {"albert"})
OPTIONS = {
    "freeze": "all",
    "compare_source_only": False,
    "max_steps": 4,
    "discriminator_dropout": 0.0,
    "data_doctor": "off",
}
# Reads every token, not the first alone.
EVERY_TOKEN = {"domain_features": "mean"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "states"


def assert_same_training(tmp_path, cache, atol=1e-5, **options):
    for name, cached in (("plain", False), ("cached", True)):
        given = {**OPTIONS, "cache_features": cached, "eval_strategy": "no", **options}
        trainer_for(tmp_path / name, **given).train()
        assert bool(list(cache.glob("*.states"))) is cached
    for name, value in weights(tmp_path / "plain").items():
        found = weights(tmp_path / "cached")[name]
        torch.testing.assert_close(found, value, atol=atol, rtol=0, msg=name)


@pytest.mark.parametrize("architecture", SEPARATE)
@pytest.mark.parametrize("options", [{}, EVERY_TOKEN], ids=["first", "every"])
def test_weights_equal_those_of_the_uncached_path(tmp_path, cache, architecture, options):
    assert_same_training(tmp_path, cache, architecture=architecture, **options)


@pytest.mark.parametrize("view", ["first", "max"])
def test_every_view_of_the_tokens(tmp_path, cache, view):
    assert_same_training(tmp_path, cache, domain_features=view)


@pytest.mark.parametrize("architecture", SEPARATE)
def test_a_teacher_starts_from_the_same_states(tmp_path, cache, architecture, monkeypatch):
    """In its stage too no token passes the encoder; with edited words it has to."""
    entered = []
    original = trunk_module.Trunk.of_copy
    monkeypatch.setattr(
        trunk_module.Trunk, "of_copy", lambda self, copy: entered.append(1) or original(self, copy)
    )
    assert_same_training(
        tmp_path, cache, architecture=architecture, method="auto", max_steps=6,
        options={"self_training": {"ramp": 0.0, "confidence": 0.0}},
    )  # fmt: skip
    assert len(entered) == 2  # steps of the second stage


@pytest.mark.parametrize("method", ["cdan", "iw_dann"])
def test_other_methods(tmp_path, cache, method):
    assert_same_training(tmp_path, cache, method=method)


def test_taggers(tmp_path, cache):
    texts = [[f"word{i % 9}", f"word{i % 5 + 20}"][: 1 + i % 2] for i in range(16)]
    tags = [[i % 3, (i + 1) % 3][: 1 + i % 2] for i in range(16)]
    places = [f"a:{i}" for i in range(16)]
    rows = make_dataset("token-classification", texts, places, tags, ("O", "B-X", "I-X"))
    source = Domain("a", "token-classification", train=rows)
    target = Domain("b", "token-classification", unlabelled=rows.remove_columns("labels"))
    for name, cached in (("plain", False), ("cached", True)):
        config = AdaptationConfig(
            output_dir=str(tmp_path / name / "run"), task="token-classification",
            cache_features=cached, precision="fp32", disable_tqdm=True,
            per_device_train_batch_size=4, **OPTIONS,
        )  # fmt: skip
        model = tiny_model("bert", "TokenClassification", labels=("O", "B-X", "I-X"))
        trainer = AdaptationTrainer(
            model, config, source, target, processing_class=tiny_tokenizer()
        )
        trainer.train()
    assert list(cache.glob("*.states"))
    for name, value in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "cached")[name], value, atol=1e-5, rtol=0)


def uneven_domain(name, count):
    """Texts of 1 to 14 words."""
    texts = [" ".join(f"word{(i * k) % 20}" for k in range(1, 2 + i % 14)) for i in range(count)]
    labels, places = [i % 2 for i in range(count)], [f"{name}:{i}" for i in range(count)]
    rows = make_dataset("sequence-classification", texts, places, labels, ("negative", "positive"))
    return Domain(name, "sequence-classification", train=rows)


@pytest.mark.parametrize("method", ["dann", "auto"])
@pytest.mark.parametrize("options", [{}, EVERY_TOKEN], ids=["first", "every"])
def test_rows_of_unlike_length_meet_in_the_same_batches(tmp_path, cache, method, options):
    """Whole or cut to their first token, and from one pass over them to the next."""
    ledgers = []
    for name, cached in (("plain", False), ("cached", True)):
        config = AdaptationConfig(
            output_dir=str(tmp_path / name / "run"), cache_features=cached,
            method=method, precision="fp32", disable_tqdm=True,
            per_device_train_batch_size=4, **{**OPTIONS, **options, "max_steps": 24},
        )  # fmt: skip
        trainer = AdaptationTrainer(
            tiny_model("bert"), config, uneven_domain("a", 43), uneven_domain("b", 30),
            processing_class=tiny_tokenizer(),
        )  # fmt: skip
        ledgers.append(trainer.train()["adapted"]["ledger"])
        assert bool(list(cache.glob("*.states"))) is cached
    assert ledgers[0] == ledgers[1]
    for name, value in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "cached")[name], value, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["dann", "auto"])
def test_no_token_passes_a_frozen_encoder_twice(tmp_path, cache, monkeypatch, method):
    calls = []
    original = trunk_module.Trunk.states
    monkeypatch.setattr(
        trunk_module.Trunk, "states",
        lambda self, inputs: calls.append(len(inputs["input_ids"])) or original(self, inputs),
    )  # fmt: skip
    options = {**OPTIONS, **EVERY_TOKEN, "method": method, "compare_source_only": True}
    first = trainer_for(tmp_path / "one", **options)
    first.train()
    sizes = {len(rows) for rows in first.data.train.values()}
    # Each stage probes a few rows; the twin and the adapted model then share the source's states.
    filled = [count for count in calls if count > feature_cache.PROBE_ROWS]
    assert set(filled) == sizes
    assert len(filled) == 2
    calls.clear()
    again = trainer_for(tmp_path / "two", method="coral", **OPTIONS, **EVERY_TOKEN)
    again.train()
    assert [count for count in calls if count > feature_cache.PROBE_ROWS] == []


@pytest.mark.parametrize("architecture", SEPARATE)
def test_scores_from_known_states_equal_those_of_the_whole_model(
    tmp_path, cache, architecture, monkeypatch
):
    results = {}
    for name, cached in (("plain", False), ("first", True), ("again", True)):
        trainer = trainer_for(
            tmp_path / name, architecture, cache_features=cached, eval_strategy="steps",
            eval_steps=2, **OPTIONS,
        )  # fmt: skip
        if name == "again":  # every row that is scored is known: the layers are not run for them
            passed = []
            for layer in encoder_layers(trainer.context.start.loaded):
                monkeypatch.setattr(type(layer), "forward", _counted(type(layer).forward, passed))
        results[name] = trainer.train()["adapted"]
    widest = max(len(rows) for rows in trainer.data.scored_rows)
    assert widest > feature_cache.PROBE_ROWS
    probes = [count for count in passed if count <= feature_cache.PROBE_ROWS]
    # The statistics of the domains, beside the scores, read training rows once.
    assert len(passed) - len(probes) <= 8
    for name in ("first", "again"):
        for part in ("source", "target", "label_free"):
            for key, value in results["plain"][part].items():
                if isinstance(value, float):
                    assert results[name][part][key] == pytest.approx(value, abs=1e-5), key


def _counted(forward, calls):
    def counted(self, hidden_states, *arguments, **options):
        calls.append(len(hidden_states))
        return forward(self, hidden_states, *arguments, **options)

    return counted


def test_bfloat16_states_are_half_the_size_and_close(tmp_path, cache):
    assert_same_training(tmp_path, cache, atol=2e-2, precision="bf16", **EVERY_TOKEN)
    assert {json.loads(path.read_text())["dtype"] for path in cache.glob("*.json")} == {"uint16"}


@pytest.mark.parametrize(
    ("options", "number"), [({}, torch.float32), (EVERY_TOKEN, torch.bfloat16)]
)
def test_heads_on_one_token_a_row_run_in_float32(tmp_path, cache, monkeypatch, options, number):
    seen = set()
    forward = torch.nn.Linear.forward

    def watched(self, states):
        output = forward(self, states)
        if torch.is_grad_enabled() and output.shape[-1] == 2 and output.dim() == 2:
            seen.add(output.dtype)
        return output

    monkeypatch.setattr(torch.nn.Linear, "forward", watched)
    trainer_for(
        tmp_path, precision="bf16", method="source_only", eval_strategy="no", **OPTIONS, **options
    ).train()
    assert number in seen
    assert torch.bfloat16 not in seen or number == torch.bfloat16


def test_a_damaged_cache_is_made_anew(tmp_path, cache, caplog):
    trainer_for(tmp_path / "one", **OPTIONS).train()
    for path in cache.glob("*.states"):
        content = bytearray(path.read_bytes())
        content[17] ^= 64
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        trainer_for(tmp_path / "two", **OPTIONS).train()
    # Of both sides, and of the rows that are scored.
    assert sum("checksum differs" in line for line in caplog.messages) == 3
    for name, value in weights(tmp_path / "one").items():
        assert torch.equal(value, weights(tmp_path / "two")[name]), name


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"architecture": "albert"}, "layers of albert cannot"),
        ({"method": "vat"}, "vat reads the text itself"),
        (
            {"stages": [{"objectives": {"task": {}, "self_training": {"edit": "mask"}}}]},
            "self_training reads the text itself",
        ),
    ],
)
def test_what_cannot_be_cached_trains_all_the_same(tmp_path, cache, caplog, options, reason):
    with caplog.at_level(logging.WARNING):
        trainer_for(tmp_path, **OPTIONS, **options).train()
    (line,) = [line for line in caplog.messages if "no cache" in line]
    assert reason in line
    assert not cache.exists()


def test_partly_frozen_layers_run(tmp_path, cache, caplog):
    with caplog.at_level(logging.WARNING):
        trainer_for(tmp_path, **{**OPTIONS, "freeze": 1}).train()
    assert not [line for line in caplog.messages if "cache" in line]
    assert not cache.exists()


def test_a_full_or_readonly_disk_is_no_obstacle(tmp_path, cache, caplog, monkeypatch):
    monkeypatch.setattr(last_states, "has_room", lambda folder, needed: False)
    trainer_for(tmp_path / "one", **OPTIONS).train()
    assert "more than half of the free disk" in caplog.text
    monkeypatch.undo()
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    trainer_for(tmp_path / "two", **OPTIONS).train()
    assert "cannot be written" in caplog.text


def test_a_stage_that_freezes_what_an_earlier_one_trained_resumes(tmp_path, monkeypatch):
    stages = [{"objectives": ["task"], "steps": 2},
              {"objectives": ["task", "dann"], "steps": 3, "freeze": "all"}]  # fmt: skip
    options = {**OPTIONS, "freeze": "none", "stages": stages, "max_steps": -1, "save_steps": 1}
    assert_resumes(tmp_path, monkeypatch, 4, **options)


def test_keys_and_files(tmp_path, monkeypatch):
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(np.arange(3)) == digest(np.arange(3))
    rows = random_rows(5, 1)
    first, every = (LastStates(SimpleNamespace(size=3), rows, only, 0) for only in (True, False))
    assert (first.shape, every.shape) == ((5, 3), (len(rows.ids), 3))
    path = first.path(tmp_path, "weights")
    assert len({path, every.path(tmp_path, "weights"), first.path(tmp_path, "others")}) == 3
    assert first.read(path) is None

    monkeypatch.setattr(LastStates, "fill", lambda self, array: array.fill(2.0))
    for states in (first.make(path), first.read(path)):
        assert (states == 2.0).all()
        assert not states.flags.writeable
    monkeypatch.setattr(LastStates, "fill", lambda self, array: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        every.make(every.path(tmp_path, "weights"))
    assert sorted(tmp_path.iterdir()) == [path.with_suffix(".json"), path]
