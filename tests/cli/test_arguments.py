"""Flags: every recipe key, in every spelling, and nothing heavy before a command runs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import typing
from collections.abc import Callable
from typing import Any

import pytest

from nlp_adapt.cli import build_parser
from nlp_adapt.cli.flags import SECTIONS, recipe_overrides
from nlp_adapt.cli.parser import parse
from nlp_adapt.errors import ConfigError
from nlp_adapt.recipe import Recipe, load_recipe

Cli = Callable[..., tuple[int, str, str]]


def overrides(*words: str) -> dict[str, Any]:
    return recipe_overrides(parse(["train", *words]))


IMPORTED = """
import json, sys
before = set(sys.modules)
{statements}
new = {{name for name in set(sys.modules) - before if getattr(sys.modules[name], "__file__", None)}}
packages = {{name.partition(".")[0] for name in new}} - sys.stdlib_module_names
print(json.dumps([sorted(packages), len(new)]))
"""


def imported_by(statements: str) -> tuple[set[str], int]:
    """Packages beyond the standard library that `statements` import, and how many modules."""
    script = IMPORTED.format(statements=statements)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    packages, modules = json.loads(done.stdout.splitlines()[-1])
    return set(packages), modules


def test_help_imports_nothing_heavy() -> None:
    packages, modules = imported_by(
        "from nlp_adapt.cli import main\n"
        "assert main(['--help']) == 0 and main(['train', '--help']) == 0"
    )
    assert packages <= {"nlp_adapt", "yaml"}
    assert modules < 160


def test_importing_the_package_is_light() -> None:
    packages, modules = imported_by("import nlp_adapt")
    assert packages == {"nlp_adapt"}
    assert modules < 40


def test_every_recipe_key_is_a_flag_with_its_help() -> None:
    args = parse(["train", "--seed", "1"])
    helped = " ".join(args.parser.format_help().split())
    for field in dataclasses.fields(Recipe):
        assert f"--{field.name} " in helped
        assert " ".join(field.metadata["help"].split())[:20] in helped
        for choice in field.metadata["choices"]:
            assert choice in helped


def test_sections_of_help_start_at_real_keys() -> None:
    names = [field.name for field in dataclasses.fields(Recipe)]
    assert set(SECTIONS) <= set(names)
    assert names[0] in SECTIONS
    assert names.index("model") == next(
        i for i, name in enumerate(names) if name not in _config_names()
    )


def _config_names() -> set[str]:
    from nlp_adapt.config import AdaptationConfig

    return {field.name for field in dataclasses.fields(AdaptationConfig)}


def test_only_given_flags_override() -> None:
    assert overrides() == {}
    assert overrides("--seed", "3") == {"seed": "3"}


def test_merge_is_short_for_merge_lora() -> None:
    assert overrides("--lora", "--merge") == {"lora": "true", "merge_lora": "true"}
    assert parse(["push", "runs/x", "--repo", "me/x", "--merge"]).merge_lora


@pytest.mark.parametrize(
    "words",
    [
        ["--output-dir", "runs/x"],
        ["--output_dir", "runs/x"],
        ["--output-dir=runs/x"],
        ["--output_dir=runs/x"],
    ],
)
def test_dashes_and_underscores_are_the_same(words: list[str]) -> None:
    assert overrides(*words) == {"output_dir": "runs/x"}


def test_values_keep_their_dashes() -> None:
    assert overrides("--model=my-model", "--source", "a-b.csv") == {
        "model": "my-model",
        "source": "a-b.csv",
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--bf16"], True),
        (["--bf16", "true"], True),
        (["--bf16=false"], False),
        (["--bf16", "false"], False),
        (["--no-bf16"], False),
        (["--no_bf16"], False),
        (["--bf16", "--no-bf16"], False),
    ],
)
def test_booleans(words: list[str], expected: bool) -> None:
    assert load_recipe(None, overrides(*words)).bf16 is expected


def test_every_boolean_can_be_turned_on_and_off() -> None:
    kinds = typing.get_type_hints(Recipe)
    for name in (name for name, kind in kinds.items() if kind is bool):
        assert overrides(f"--{name}") == {name: "true"}
        assert overrides(f"--no-{name}") == {name: "false"}


def test_lists_take_several_values_and_repeats() -> None:
    assert overrides("--source", "a.csv") == {"source": "a.csv"}
    assert overrides("--source", "a.csv", "b.csv")["source"] == ["a.csv", "b.csv"]
    assert overrides("--source", "a", "--source", "b", "--seed", "1")["source"] == ["a", "b"]


def test_negative_numbers_are_values() -> None:
    assert load_recipe(None, overrides("--max_steps", "-1")).max_steps == -1


@pytest.mark.parametrize(
    "words",
    [
        ["--options.dann.weight", "0.5"],
        ["--options.dann.weight=0.5"],
        ["--source", "a.csv", "--options.dann.weight", "5e-1", "--seed", "1"],
    ],
)
def test_dotted_flags_reach_into_mappings(words: list[str]) -> None:
    assert load_recipe(None, overrides(*words)).options == {"dann": {"weight": 0.5}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "did you mean 'train'"),
        (["train", "--learning-rte", "1"], "did you mean '--learning_rate'"),
        (["train", "--lerning_rate=1"], "did you mean '--learning_rate'"),
        (["train", "--meth", "dann"], "unknown option --meth"),  # no abbreviations
        (["train", "--no-bf17"], "did you mean '--no_bf16'"),
        (["train", "stray.csv"], "unexpected argument 'stray.csv'"),
        (["train", "--seed"], "expected one argument"),
        (["train", "--options.dann.weight"], "--options.dann.weight needs a value"),
        (["train", "--options.dann.weight", "--seed", "1"], "--options.dann.weight needs a value"),
        (["train", "--seed.x", "1"], "unknown option --seed.x"),
        (["evaluate", "run"], "--data"),
        (["evaluate", "run", "--data", "x", "--split", "tset"], "invalid choice"),
        (["predict", "m", "x", "--out", "y.csv", "--batch-size", "0"], "batch_size"),
        (["--json"], "name a command"),
        (["--debug"], "name a command"),
    ],
)
def test_mistakes_are_refused_with_a_hint(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(words)
    assert message in str(caught.value)


def test_errors_are_one_sentence_and_exit_code_2(run_cli: Cli) -> None:
    code, out, err = run_cli("train", "--seed", "many", "--source", "a.csv")
    assert (code, out) == (2, "")
    assert err == "nlp-adapt: error: seed is 'many', but must be a whole number.\n"


def test_debug_shows_the_traceback(run_cli: Cli) -> None:
    code, _, err = run_cli("train", "--seed", "many", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert "ConfigError: seed is 'many'" in err


def test_interrupt_exits_130(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nlp_adapt.cli.train.import_training", interrupted)
    code, _, err = run_cli("train", "--source", "a.csv")
    assert code == 130
    assert "Traceback" not in err


def test_version(run_cli: Cli) -> None:
    code, out, _ = run_cli("--version")
    assert code == 0
    assert out.startswith("nlp-adapt 0.")


def test_no_command_shows_help(run_cli: Cli) -> None:
    code, out, _ = run_cli()
    assert code == 2
    assert "train" in out


def test_methods_lists_papers_and_options(run_cli: Cli) -> None:
    code, out, _ = run_cli("methods")
    assert code == 0
    assert "dann  " in out
    assert "Ganin" in out
    assert "--options.dann.lambda_max" in run_cli("methods", "dann")[1]


def test_methods_as_json(run_cli: Cli) -> None:
    code, out, _ = run_cli("methods", "--json")
    methods = json.loads(out)
    assert code == 0
    assert methods["source_only"]["options"].keys() == {"task"}
    dann = {option["name"]: option for option in methods["dann"]["options"]["dann"]}
    assert dann["weight"]["default"] == 1.0
    assert "sigmoid" in dann["lambda_schedule"]["choices"]
    assert "token-classification" in methods["dann"]["tasks"]


def test_every_parser_builds_help() -> None:
    assert "COMMAND" in build_parser().format_help()
