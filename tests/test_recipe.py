"""Recipes: the closed schema, the types, and YAML's surprises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.methods import stages_for
from nlp_adapt.recipe import Recipe, dump_recipe, load_recipe


@pytest.fixture
def recipe_of(tmp_path: Path) -> Any:
    def load(text: str, **overrides: Any) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return load_recipe(path, overrides)

    return load


def test_no_file_gives_the_defaults() -> None:
    assert load_recipe() == Recipe()


def test_keys_become_options(recipe_of: Any) -> None:
    recipe = recipe_of("method: dann\nseed: 7\nbf16: true\nsource: [a.csv, b.csv]\n")
    assert (recipe.method, recipe.seed, recipe.bf16) == ("dann", 7, True)
    assert recipe.source == ["a.csv", "b.csv"]
    assert recipe.resolved_precision == "bf16"


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("learning_rate: 2e-5", "learning_rate", 2e-5),
        ('learning_rate: "2e-5"', "learning_rate", 2e-5),
        ("learning_rate: 1", "learning_rate", 1.0),
        ("seed: 010", "seed", 10),
        ("max_steps: 9007199254740993", "max_steps", 2**53 + 1),
        ("max_steps: 1e3", "max_steps", 1000),
        ("save_strategy: no", "save_strategy", "no"),
        ("source: 2024-01-31", "source", "2024-01-31"),
        ("max_source_rows: null", "max_source_rows", None),
        ("max_source_rows:", "max_source_rows", None),
        ("options: {dann: {weight: 2e-1, extra: null}}", "options",
         {"dann": {"weight": 0.2, "extra": None}}),
        ("label_map: {1: positive, true: positive, no: negative}", "label_map",
         {"1": "positive", "true": "positive", "no": "negative"}),
    ],
)  # fmt: skip
def test_values_have_the_type_of_their_option(
    recipe_of: Any, text: str, key: str, value: Any
) -> None:
    assert getattr(recipe_of(text), key) == value
    assert type(getattr(recipe_of(text), key)) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rte: 1", ["learning_rte", "learning_rate"]),
        ("seed: yes", ["seed", "whole number"]),
        ("seed: 1.5", ["seed", "whole number"]),
        (f"seed: 1{'0' * 400}.5", ["seed", "whole number"]),
        (f"learning_rate: 1{'0' * 400}", ["learning_rate", "number"]),
        ("learning_rate: .nan", ["learning_rate"]),
        ("learning_rate: -1", ["learning_rate", "at least 0"]),
        ("seed: true", ["seed", "whole number"]),
        ("bf16: yes", ["bf16", "true or false"]),
        ("bf16: 1", ["bf16", "true or false"]),
        ("model: 7", ["model", "text"]),
        ("seed:", ["seed", "value"]),
        ("source: [1]", ["source[0]", "text"]),
        ("task: token", ["task", "token-classification"]),
        ("lambda_schedule: sigmod", ["lambda_schedule", "did you mean 'sigmoid'"]),
        ("options: 3", ["options", "mapping"]),
        ("stages: dann", ["stages", "list"]),
        ("bf16: true\nfp16: true", ["bf16", "fp16"]),
        ("overwrite: true\nresume: true", ["overwrite", "resume"]),
        ("num_train_epochs: 0", ["num_train_epochs"]),
        ("discriminator_layers: 9", ["discriminator_layers"]),
        ("- a\n- b", ["key: value"]),
        ("just text", ["key: value"]),
    ],
)
def test_what_does_not_fit_is_named(recipe_of: Any, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe_of(text)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seed: 1\nseed: 2", "'seed' appears twice, again at line 2"),
        ("label_map: {1: a, 01: b, 1: c}", "'1' appears twice"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("source: !!python/object/apply:os.system [ls]", "python/object"),
        ("source: !!timestamp 2001-99-99", "month"),
        ("? [a]\n: 1", "a key must be text"),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper than"),
        ("a: {", "recipe.yaml"),
        ("<<: {seed: 1}", "<<"),
    ],
)
def test_yaml_is_data_only(recipe_of: Any, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.yaml") as caught:
        recipe_of(text)
    assert reason in str(caught.value)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read"):
        load_recipe(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("model: café".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_recipe(latin)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than"):
        load_recipe(large)


def test_overrides_win_and_dots_reach_into_mappings(recipe_of: Any) -> None:
    recipe = recipe_of(
        "seed: 1\noptions: {dann: {weight: 1.0, layers: 3}}",
        **{"seed": "2", "options.dann.weight": "5e-1", "options.cdan.entropy": "true"},
    )
    assert recipe.seed == 2
    assert recipe.options == {"dann": {"weight": 0.5, "layers": 3}, "cdan": {"entropy": True}}


def test_dots_start_a_mapping_that_the_file_leaves_empty() -> None:
    recipe = load_recipe(None, {"options.dann.weight": "0.5"})
    assert recipe.options == {"dann": {"weight": 0.5}}


def test_dots_through_an_empty_key(recipe_of: Any) -> None:
    recipe = recipe_of("options:\n  dann:\n", **{"options.dann.weight": 0.5})
    assert recipe.options == {"dann": {"weight": 0.5}}


def test_dots_into_a_value_are_refused(recipe_of: Any) -> None:
    with pytest.raises(ConfigError, match=r"options\.dann is not a mapping"):
        recipe_of("options: {dann: 3}", **{"options.dann.weight": "1"})


def test_lists_and_mappings_come_from_strings() -> None:
    recipe = load_recipe(
        None,
        {
            "report_to": "tensorboard, trackio",
            "stages": "[{objectives: {task: {}}, epochs: 1}]",
            "label_map": '{"1": good}',
            "max_steps": "7",
            "max_source_rows": "none",
        },
    )
    assert recipe.report_to == ["tensorboard", "trackio"]
    assert recipe.stages == [{"objectives": {"task": {}}, "epochs": 1}]
    assert recipe.label_map == {"1": "good"}
    assert recipe.max_source_rows is None


def test_a_written_recipe_reads_back_unchanged(tmp_path: Path) -> None:
    shared = {"weight": 1e-3, "none": None}
    recipe = Recipe(
        source=["[odd].csv", "two\nlines", "2e-5"],
        label_map={"010": "no", "2e-5": "yes", "true": "~", "": "a: b", "1:30": "-"},
        options={"dann": shared, "cdan": shared},
        learning_rate=3e-5,
        max_source_rows=5,
    )
    dump_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe
    # Other readers see the same values.
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text()) == recipe.to_dict()


def test_every_shipped_recipe_loads() -> None:
    shipped = sorted(Path(__file__).parents[1].glob("recipes/*/*.yaml"))
    shipped = [path for path in shipped if path.parent.name != "accelerate"]
    assert shipped
    for path in shipped:
        recipe = load_recipe(path)
        assert recipe.source or recipe.sources, path


def test_adaptation_config_is_the_recipe_without_model_and_data() -> None:
    config = Recipe(seed=3, source="a.csv").adaptation_config()
    assert type(config) is AdaptationConfig
    assert config.seed == 3


def test_text_that_is_no_number_is_one_sentence_from_python_too() -> None:
    with pytest.raises(ConfigError, match=r"learning_rate is 'fast', but must be a number"):
        AdaptationConfig(learning_rate="fast")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"epochs": 0}, r"stages\[1\].epochs is 0.0, but must be above 0"),
        ({"steps": -5}, r"stages\[1\].steps is -5, but must be above 0"),
        ({"learning_rate": 0}, r"stages\[1\].learning_rate is 0.0, but must be above 0"),
        ({"epochs": 1, "steps": 2}, "exclude each other"),
    ],
)
def test_numbers_of_a_stage_are_checked(stage: dict, message: str) -> None:
    config = AdaptationConfig(stages=[{"objectives": ["task"], **stage}])
    with pytest.raises(ConfigError, match=message):
        stages_for(config)


def test_pooled_sentences_cannot_stand_for_words() -> None:
    with pytest.raises(ConfigError, match="domain_features: mean pools"):
        AdaptationConfig(task="token-classification", domain_features="mean")
    AdaptationConfig(task="sequence-classification", domain_features="mean")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_source_rows", -5), ("max_target_rows", 0), ("head_learning_rate", -0.01),
        ("discriminator_learning_rate", -1.0), ("lora_learning_rate", -1.0), ("seed", -1),
        ("seed", 2**32), ("adam_beta1", 1.5), ("adam_beta2", -0.1), ("adam_epsilon", -1.0),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{option} is {value}"):
        AdaptationConfig(**{option: value})


def test_options_in_a_list_of_objectives_are_explained() -> None:
    config = AdaptationConfig(stages=[{"objectives": ["task", {"dann": {"weight": 0.5}}]}])
    with pytest.raises(ConfigError, match="write a mapping of names"):
        stages_for(config)
