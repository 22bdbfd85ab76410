"""Recipes of strangers are data: no code, no bombs, no surprises."""

import pytest

from nlp_adapt.errors import ConfigError
from nlp_adapt.objectives import checked_stages
from nlp_adapt.recipe import load_recipe
from nlp_adapt.yaml_text import MAX_RECIPE_BYTES
from tests.helpers.trainers import trainer_for


@pytest.fixture
def recipe_of(tmp_path):
    def read(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return load_recipe(path)

    return read


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {sprung}']",
        "!!python/object/new:os.system ['touch {sprung}']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/object/apply:builtins.open ['{sprung}', 'w']",
    ],
)
@pytest.mark.parametrize("place", ["source: {}", "label_map: {{a: {}}}", "options: {}"])
def test_tags_make_no_objects(recipe_of, tmp_path, value, place):
    value = value.format(sprung=tmp_path / "sprung")
    with pytest.raises(ConfigError, match="python"):
        recipe_of(place.format(value))
    with pytest.raises(ConfigError):
        load_recipe(None, {"label_map": value})
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "text",
    [
        "_target_: os.system",
        "options: {dann: {_target_: os.system}}",
        "stages: [{objectives: {_target_: os.system}}]",
        "stages: [{objectives: [task], _target_: os.system}]",
        "stages: [{objectives: {os.system: {}}}]",
    ],
)
def test_the_schema_is_closed_at_every_level(recipe_of, text, tmp_path):
    def run():
        recipe = recipe_of(text)
        trainer_for(tmp_path, options=recipe.options, stages=recipe.stages).train()

    with pytest.raises(ConfigError, match=r"_target_|os\.system|mapping"):
        run()


def test_an_alias_bomb_is_refused_at_once(recipe_of):
    levels = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        levels.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    bomb = "\n".join(levels)
    assert len(bomb) < 600
    with pytest.raises(ConfigError, match="aliases"):
        recipe_of(bomb)


@pytest.mark.parametrize("bracket", ["[]", "{}"])
def test_depth_is_capped_before_the_stack_is(recipe_of, bracket):
    with pytest.raises(ConfigError, match="nested deeper"):
        recipe_of("options: " + bracket[0] * 50_000 + bracket[1] * 50_000)


def test_size_is_capped_before_anything_is_parsed(recipe_of):
    with pytest.raises(ConfigError, match="larger than"):
        recipe_of("#" * (MAX_RECIPE_BYTES + 1))


def test_scalars_mean_what_they_say(recipe_of):
    recipe = recipe_of("learning_rate: 2e-5\nseed: 010\nlabel_map: {no: off, 1: yes}")
    assert (recipe.learning_rate, recipe.seed) == (2e-5, 10)
    assert recipe.label_map == {"no": "off", "1": "yes"}
    with pytest.raises(ConfigError, match="twice"):
        recipe_of("seed: 1\nseed: 2")


def test_what_is_named_by_its_path_must_be_an_objective_and_is_never_called(recipe_of, tmp_path):
    for place in ("os:system", "builtins:open", "nlp_adapt.config:AdaptationConfig", "no_such:X"):
        stages = f"stages: [{{objectives: {{'{place}': {{}}}}}}]"
        with pytest.raises(ConfigError, match=place):
            checked_stages(recipe_of(stages))
