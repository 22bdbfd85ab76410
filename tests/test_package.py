"""The wheel: what it says of itself, what it holds, and that both jobs run from it alone."""

import re
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

import nlp_adapt
from tests.helpers.toy_texts import SOURCE_WORDS, TARGET_WORDS, conll
from tests.helpers.wheels import ROOT, build_wheel, install, run_installed

SHRUNK = (
    *("--max_steps", 2, "--per_device_train_batch_size", 4, "--max_length", 24, "--no_bf16"),
    *("--max_source_rows", 24, "--max_target_rows", 24, "--disable_tqdm", "--precision", "fp32"),
    *("--compare_source_only", "false", "--eval_strategy", "no", "--save_strategy", "no"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    install(wheel, folder)
    return folder


def test_the_wheel_holds_the_code_the_recipes_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    recipes = {path.relative_to(ROOT) for path in (ROOT / "recipes").glob("*/*.yaml")}
    assert len(recipes) > 60
    assert {f"nlp_adapt/{recipe.as_posix()}" for recipe in recipes} <= names
    assert {"nlp_adapt/py.typed", "nlp_adapt/cli/train.py"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"nlp_adapt"}


def test_the_wheel_says_what_it_is(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
    said = Parser().parsestr(archive.read(name).decode())
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload().strip() == (ROOT / "README.md").read_text().strip()
    assert said["Author"]
    assert said["Keywords"]


def test_versions_agree():
    project = (ROOT / "pyproject.toml").read_text()
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert re.search(r'^version = "(.+)"', project, re.MULTILINE)[1] == nlp_adapt.__version__
    assert cited["version"] == nlp_adapt.__version__
    site = (ROOT / "mkdocs.yml").read_text()
    assert f"copyright: nlp_adapt {nlp_adapt.__version__}\n" in site


def test_the_workflow_tests_every_python_that_is_promised():
    project = (ROOT / "pyproject.toml").read_text()
    promised = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == promised
    assert {entry["versions"] for entry in matrix["include"]} == {"lowest", "newest"}
    assert {"lint", "wheel", "docs"} <= workflow["jobs"].keys()


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms_have_what_github_asks_for(name):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert {"name", "description", "body"} <= form.keys()
    for part in form["body"]:
        assert part["type"] == "textarea"
        assert {"id", "attributes"} <= part.keys()
        assert part["attributes"]["label"]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sentiment", "ner"])
def test_both_jobs_run_from_the_wheel_in_a_bare_folder(
    task, installed, tmp_path, tiny_model_dir, toy_source_csv, toy_target_jsonl
):
    bare = tmp_path / "bare"
    bare.mkdir()
    source, target = toy_source_csv, toy_target_jsonl
    if task == "ner":
        source, target = tmp_path / "news.conll", tmp_path / "tweets.conll"
        source.write_text(conll(SOURCE_WORDS))
        target.write_text(conll(TARGET_WORDS))

    def run(*words):
        done = run_installed(installed, *words, cwd=bare)
        assert done.returncode == 0, done.stderr
        return done.stdout

    home = run("-c", "import nlp_adapt; print(nlp_adapt.__file__)").strip()
    assert Path(home).is_relative_to(installed)
    run(
        *("-m", "nlp_adapt", "train", "--config", f"{task}/auto", "--model", tiny_model_dir),
        *("--source", source, "--target", target, "--target_test", target, "--output_dir", "run"),
        *SHRUNK,
    )
    out = run("-m", "nlp_adapt", "predict", "run", target, "--out", "-", "--precision", "fp32")
    assert out.count("\n") == len(target.read_text().splitlines()) or task == "ner"
    assert out
    assert {path.name for path in bare.iterdir()} == {"run"}
