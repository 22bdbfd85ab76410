"""Options from Python: what Trainer's users write, and the names that they know."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import IntervalStrategy, SchedulerType

from nlp_adapt.cli.parser import parse
from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.recipe import Recipe, dump_recipe, load_recipe
from nlp_adapt.usual_names import USUAL_NAMES


@pytest.mark.parametrize(
    ("option", "given", "value"),
    [
        ("output_dir", Path("runs/x"), "runs/x"),
        ("eval_strategy", IntervalStrategy.STEPS, "steps"),
        ("lr_scheduler_type", SchedulerType.COSINE, "cosine"),
        ("seed", np.int64(3), 3),
        ("learning_rate", np.float64(0.5), 0.5),
        ("learning_rate", "2e-5", 2e-5),
        ("warmup_steps", 100, 100.0),
        ("report_to", "none", []),
        ("report_to", ["none"], []),
        ("report_to", None, []),
        ("report_to", "tensorboard", ["tensorboard"]),
        ("hub_language", "en", ["en"]),
        ("hub_language", ("en", "de"), ["en", "de"]),
        ("hub_language", None, []),
        ("options", None, {}),
        ("options", {"dann": {"weight": np.float32(0.5)}}, {"dann": {"weight": 0.5}}),
        ("lora_targets", ("query", "value"), ["query", "value"]),
        ("lr_scheduler_kwargs", '{"num_cycles": 2}', {"num_cycles": 2}),
    ],
)
def test_values_are_read_as_trainers_users_write_them(
    tmp_path: Path, option: str, given: Any, value: Any
) -> None:
    config = AdaptationConfig(**{option: given})
    assert getattr(config, option) == value
    assert type(getattr(config, option)) is type(value)
    dump_recipe(config, tmp_path / "recipe.yaml")
    assert getattr(load_recipe(tmp_path / "recipe.yaml"), option) == value


@pytest.mark.parametrize(
    ("option", "given", "message"),
    [
        ("seed", None, "seed needs a value"),
        ("bf16", "maybe", "bf16 is 'maybe', but must be true or false"),
        ("hub_language", 5, "hub_language is 5, but must be a list"),
        ("resume", "runs/x/checkpoints", "resume is 'runs/x/checkpoints', but must be true or"),
        ("output_dir", 3, "output_dir is 3, but must be text"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(option: str, given: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AdaptationConfig(**{option: given})
    assert message in str(caught.value)


def test_nothing_is_an_empty_list_in_a_recipe_too(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("report_to:\nhub_language: en\noptions:\n", encoding="utf-8")
    recipe = load_recipe(path)
    assert (recipe.report_to, recipe.hub_language, recipe.options) == ([], ["en"], {})


def test_the_table_of_usual_names_leads_to_keys() -> None:
    keys = {field.name for field in dataclasses.fields(Recipe)}
    assert not keys & USUAL_NAMES.keys()
    assert {ours for ours in USUAL_NAMES.values() if " " not in ours} <= keys


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("lr", "learning_rate"),
        ("batch_size", "per_device_train_batch_size"),
        ("num_epochs", "num_train_epochs"),
        ("max_seq_length", "max_length"),
        ("warmup_ratio", "warmup_steps, where a number below 1 is a share"),
        ("evaluation_strategy", "eval_strategy"),
        ("overwrite_output_dir", "overwrite"),
        ("do_train", "no such switch"),
        ("early_stopping_patience", "EarlyStoppingCallback in callbacks"),
        ("optimizer", "here it is"),
        ("lerning_rate", "did you mean"),
    ],
)
def test_an_unknown_name_gets_the_same_answer_everywhere(
    tmp_path: Path, name: str, answer: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{name}: 1\n", encoding="utf-8")
    for ask in (
        lambda: AdaptationConfig(**{name: 1}),
        lambda: Recipe(**{name: 1}),
        lambda: load_recipe(path),
        lambda: load_recipe(None, {name: 1}),
        lambda: parse(["train", f"--{name}", "1"]),
        lambda: parse(["train", f"--{name.replace('_', '-')}", "1"]),
    ):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert answer in str(caught.value)


def test_the_model_is_given_to_the_trainer_in_python_and_a_key_of_a_recipe() -> None:
    with pytest.raises(ConfigError, match="model is given to AdaptationTrainer"):
        AdaptationConfig(model_name_or_path="bert-base-cased")
    with pytest.raises(ConfigError, match="source is given to AdaptationTrainer"):
        AdaptationConfig(source="rows.csv")
    with pytest.raises(ConfigError, match="here it is --model "):
        parse(["train", "--model_name_or_path", "bert-base-cased"])


def test_options_come_by_name() -> None:
    with pytest.raises(ConfigError, match=r"AdaptationConfig\(output_dir='runs/x'\)"):
        AdaptationConfig("runs/x")  # type: ignore[misc]
    assert "learning_rate" in inspect.signature(AdaptationConfig).parameters


def test_a_hint_ignores_case() -> None:
    with pytest.raises(ConfigError, match="did you mean 'token-classification'"):
        AdaptationConfig(task="Token-Classification")
