"""Commands that tell and do nothing: methods NAME, env, completion; colours; names of the field."""

import io
import json
import shutil
import subprocess
import sys

import pytest

from nlp_adapt.cli import console, main
from nlp_adapt.cli.parser import COMMANDS, USUAL_COMMANDS, build_parser
from nlp_adapt.methods import METHODS
from nlp_adapt.usual_names import _FLAGS


def test_a_method_is_told_with_its_stages_paper_and_defaults(run_cli):
    code, out, _ = run_cli("methods", "adda")
    assert code == 0
    assert "Tzeng et al. 2017" in out
    assert "1. task: 1 epochs" in out
    assert "2. adda: 2 epochs" in out
    assert "--options.adda.weight" in out
    assert "(default: 1.0)" in out
    stages = json.loads(run_cli("methods", "adda", "--json")[1])["adda"]["stages"]
    assert [stage["objectives"] for stage in stages] == [{"task": {}}, {"adda": {}}]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_told(name, run_cli):
    code, out, _ = run_cli("methods", name)
    assert code == 0
    assert out.startswith(f"{name}: ")
    assert "\n    1. " in out


def test_an_unknown_method_is_answered_with_the_nearest(run_cli):
    code, _, err = run_cli("methods", "dan")
    assert code == 2
    assert "did you mean 'dann'" in err


def test_env_tells_versions_and_no_names_or_paths(run_cli, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "/home/somebody")
    code, out, _ = run_cli("env", "--json")
    found = json.loads(out)
    assert code == 0
    assert {"nlp_adapt", "python", "torch", "transformers"} <= found["versions"].keys()
    assert "pytest" not in found["versions"]
    assert "HF_HUB_OFFLINE" in found["machine"]["set"]
    for private in ("somebody", "/", str(tmp_path)):
        assert private not in out
    _, out, _ = run_cli("env")
    assert "torch " in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_names_every_command_and_flag(shell, run_cli):
    code, script, _ = run_cli("completion", shell)
    assert code == 0
    for name in [*COMMANDS, "sentiment/auto", "wasserstein"]:
        assert name in script
    assert ("-l learning_rate" if shell == "fish" else "--learning_rate") in script


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["pre"], ["predict"]),
        (["train", "--learning_r"], ["--learning_rate"]),
        (["train", "--method", "wass"], ["wasserstein"]),
        (["train", "--config", "ner/aut"], ["ner/auto"]),
        (["methods", "dan"], ["dann"]),
        (["export", "--precision"], []),
    ],
)
def test_bash_completes_what_has_been_typed(typed, expected, run_cli):
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    _, script, _ = run_cli("completion", "bash")
    words = " ".join(f"'{word}'" for word in ["nlp-adapt", *typed])
    script += (
        f'\nCOMP_WORDS=({words}); COMP_CWORD={len(typed)}; _nlp_adapt; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def streams():  # in the test itself: pytest sets its own once more before one begins
        monkeypatch.setattr("sys.stdout", Screen())
        monkeypatch.setattr("sys.stderr", Screen())
        return sys.stdout, sys.stderr

    return streams


def test_a_terminal_gets_colours(screen):
    out, err = screen()
    assert main(["predict", "--help"]) == 0
    assert "\x1b[1moptions:\x1b[0m" in out.getvalue()
    assert "\x1b[36m--out\x1b[0m" in out.getvalue()
    assert main(["methods", "\x1b[31mdann"]) == 2
    assert err.getvalue().startswith("\x1b[1;31mnlp-adapt: error:\x1b[0m there is no method")
    assert "\x1b[31mdann" not in err.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_nobody_gets_colours_who_wants_none(name, value, screen, monkeypatch):
    monkeypatch.setenv(name, value)
    out, err = screen()
    assert main(["predict", "--help"]) == 0
    assert main(["methods", "dan"]) == 2
    assert "--out" in out.getvalue()
    assert "\x1b" not in out.getvalue() + err.getvalue()
    assert not console.has_colours(io.StringIO())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit"], "did you mean 'train'"),
        (["inference"], "did you mean 'predict'"),
        (["eval"], "did you mean 'evaluate'"),
        (["upload"], "did you mean 'push'"),
        (["predict", "m", "f", "--output", "o.csv"], "here it is --out"),
        (["predict", "m", "f", "--return_all_scores"], "here it is --all_scores"),
        (["evaluate", "m", "--test-file", "f"], "here it is --data"),
        (["push", "r", "--hub_model_id", "me/x"], "here it is --repo"),
        (["export", "m", "--onnx", "--out", "f"], "here it is --output_dir"),
        (["train", "--lr", "1"], "here it is --learning_rate"),
    ],
)
def test_names_of_the_field_are_answered_with_ours(words, said, run_cli):
    code, _, err = run_cli(*words)
    assert code == 2
    assert said in err


def test_the_names_that_are_ours_exist():
    flags = {
        flag
        for command in next(
            action.choices for action in build_parser()._actions if action.dest == "command"
        ).values()
        for action in command._actions
        for flag in action.option_strings
    }
    assert {f"--{name}" for name in _FLAGS} <= flags
    assert set(USUAL_COMMANDS.values()) <= COMMANDS.keys()
    assert not USUAL_COMMANDS.keys() & COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_takes(name):
    choices = next(a.choices for a in build_parser(name)._actions if a.dest == "command")
    for action in choices[name]._actions:
        if action.nargs == 0 or action.choices or action.dest == "help":
            continue
        assert action.metavar, action.dest
        taken = str(action.metavar)
        assert taken == "true|false" or taken.startswith("{") or taken.isupper(), action.dest


def test_a_file_is_not_replaced_without_a_word(tmp_path):
    from nlp_adapt.cli.flags import refuse_existing
    from nlp_adapt.errors import RunError

    out = tmp_path / "out.csv"
    refuse_existing(out, False)
    out.write_text("kept")
    with pytest.raises(RunError, match="already exists; set --overwrite"):
        refuse_existing(out, False)
    refuse_existing(out, True)
