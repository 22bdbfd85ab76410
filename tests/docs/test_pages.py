"""The documentation says what the code does: its blocks run, its names exist, its links lead on."""

import dataclasses
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from nlp_adapt.cli import main
from nlp_adapt.cli.parser import COMMANDS
from nlp_adapt.data.reading.formats import ENDINGS
from nlp_adapt.methods import METHODS
from nlp_adapt.modeling.architectures import ARCHITECTURES
from nlp_adapt.objectives import OBJECTIVES
from nlp_adapt.prediction.files.writers import WRITERS
from nlp_adapt.recipe import Recipe
from nlp_adapt.validators import VALIDATORS
from tests.helpers.toy_texts import SOURCE_WORDS, TARGET_WORDS, conll

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "benchmarks" not in path.parts)
RUNNING = [
    "tutorials/sentiment.md",
    "tutorials/ner.md",
    "how-to/python.md",
    "how-to/objective.md",
    "how-to/validator.md",
    "how-to/encoder.md",
    "how-to/format.md",
    "how-to/lora.md",
    "how-to/ensembles.md",
    "how-to/export.md",
]
NEEDED = {"how-to/export.md": ("onnx", "onnxscript", "onnxruntime")}
NAVIGATION = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, *languages):
    return [text for language, text in _BLOCK.findall(page) if language in languages]


@pytest.fixture(scope="module")
def markers():
    spec = importlib.util.spec_from_file_location(
        "docs_markers", ROOT / "scripts" / "docs_markers.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stand_ins(tmp_path, tiny_model_dir, toy_source_csv, toy_target_jsonl):
    """What takes the place of the built-in model and domains, which would be fetched."""
    (tmp_path / "news.conll").write_text(conll(SOURCE_WORDS))
    (tmp_path / "posts.conll").write_text(conll(TARGET_WORDS))
    return {
        "builtin:minilm-l6": str(tiny_model_dir),
        "builtin:snippets/movie": str(toy_source_csv),
        "builtin:snippets/tweets": str(toy_target_jsonl),
        "builtin:ner/news": str(tmp_path / "news.conll"),
        "builtin:ner/tweets": str(tmp_path / "posts.conll"),
    }


@pytest.mark.parametrize("name", RUNNING)
def test_every_block_of_a_page_runs_in_turn(name, stand_ins, tmp_path, monkeypatch, capsys):
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    for shipped in (ROOT / "recipes").glob("*/*.yaml"):
        copy = tmp_path / "recipes" / shipped.parent.name / shipped.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(replaced(shipped.read_text(), stand_ins))
    monkeypatch.setattr("nlp_adapt.recipe.recipes_folder", lambda: tmp_path / "recipes")
    before = [
        (registry, dict(registry))
        for registry in (OBJECTIVES, VALIDATORS, ARCHITECTURES, ENDINGS, WRITERS)
    ]
    names: dict[str, object] = {"__name__": "page"}
    ran = 0
    try:
        for language, text in _BLOCK.findall((DOCS / name).read_text()):
            text = replaced(text, stand_ins)
            if language == "python":
                exec(compile(text, name, "exec"), names)
            elif language == "bash":
                for line in text.strip().split("\n"):
                    program, *words = shlex.split(line)
                    assert program == "nlp-adapt"
                    assert main(words) == 0, line
            ran += language in ("python", "bash")
    finally:
        for registry, own in before:
            registry.clear()
            registry.update(own)
    assert ran >= 2


def replaced(text, stand_ins):
    for name, path in stand_ins.items():
        text = text.replace(name, path)
    return text


def test_every_method_stands_on_one_page_of_its_family():
    marker = re.compile(r"^\{\{ methods?: ([\w, ]+) \}\}$", re.MULTILINE)
    listed = {"index": [], "families": ["source_only"]}
    for path in (DOCS / "methods").glob("*.md"):
        found = [name for line in marker.findall(path.read_text()) for name in line.split(", ")]
        listed["index" if path.stem == "index" else "families"] += found
    for names in listed.values():
        assert sorted(names) == sorted(METHODS)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_markers_are_filled_and_links_lead_to_pages(path, markers):
    page = markers.fill(path.read_text())
    assert not re.search(r"^\{\{", page, re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)", page):
        assert target.startswith("https://") or (path.parent / target).exists(), target
    assert str(path.relative_to(DOCS)) in NAVIGATION


def test_what_the_navigation_names_exists_and_no_title_twice():
    listed = re.findall(
        r"^ +- (?:\"?(.+?)\"?: )?([\w/.-]+\.(?:md|ipynb))$", NAVIGATION, re.MULTILINE
    )
    assert len(listed) >= len(PAGES)
    assert [path for _, path in listed if not (DOCS / path).exists()] == []
    titles = [title for title, _ in listed]
    assert sorted(set(titles)) == sorted(titles)


def test_commands_and_options_that_pages_name_exist():
    keys = {field.name for field in dataclasses.fields(Recipe)}
    for kind in OBJECTIVES.values():
        keys |= {field.name for field in dataclasses.fields(kind.config_class)}
    keys |= {*OBJECTIVES, "objectives", "epochs", "steps"}
    for path in PAGES:
        text = path.read_text()
        for name in re.findall(r"nlp-adapt (\w+) ", text):
            assert name in COMMANDS, (path, name)
        for name in re.findall(r"`([a-z]\w+): [^`]*`", text):
            assert name in keys, (path, name)
        for block in blocks(text, "yaml"):
            for name in re.findall(r"^(\w+):", block, re.MULTILINE):
                assert name in keys, (path, name)


def test_the_tests_that_security_names_exist():
    named = re.findall(r"`(tests/[\w/.]+)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_reference_lists_every_option_and_command(markers):
    options = markers.fill("{{ options }}")
    commands = markers.fill("{{ commands }}")
    for field in dataclasses.fields(Recipe):
        assert f"| `{field.name}` |" in options
    for name in COMMANDS:
        assert f"## nlp-adapt {name}\n" in commands


@pytest.mark.parametrize("name", ["wasserstien", "dann, nothing"])
def test_an_unknown_method_fails_the_build(markers, name):
    with pytest.raises(KeyError):
        markers.fill(f"{{{{ methods: {name} }}}}")
