"""`nlp-adapt evaluate` with a tagger: spans under attack, and what went wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nlp_adapt.cli import main
from nlp_adapt.reporting.table import ERRORS
from tests.helpers.tiny_taggers import tagger


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    for part in tagger("bert"):
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def gold(saved: Path, tmp_path: Path) -> str:
    """Sentences tagged as the model tags them, but for some."""
    from nlp_adapt.prediction.opening import load_predictor
    from nlp_adapt.prediction.tagged_text import tag_words

    sentences = [[f"{a}{b}" for b in "abcde"] for a in "pqrstuvwxyz"] + [["k"] * 50]
    lines = []
    for number, tagged in enumerate(tag_words(load_predictor(saved), sentences)):
        tags = tagged.tags if number % 4 else ["O"] * len(tagged.tags)
        lines += [f"{word}\t{tag}" for word, tag in zip(tagged.words, tags, strict=True)]
        lines.append("")
    path = tmp_path / "gold.conll"
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_spans_under_attack(saved: Path, gold: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(saved), "--data", gold, "--attack", "pgd", "--epsilon", "1.0"]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    clean, attacked = report["metrics"], report["attack"]["metrics"]
    assert attacked["f1"] < clean["f1"]
    assert attacked["errors"]["correct"] < clean["errors"]["correct"]
    assert report["attack"]["units"] == 105
    assert main(words) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["span", "F1", f"{100 * clean['f1']:.1f}", f"{100 * attacked['f1']:.1f}"] == next(
        line[:4] for line in lines if line[:2] == ["span", "F1"]
    )
    for key in ERRORS:
        title = key.replace("_", " ")
        both = [f"{side['errors'][key]:,}" for side in (clean, attacked)]
        assert [*title.split(), *both] in lines


def test_without_an_attack_the_errors_are_counted(
    saved: Path, gold: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(saved), "--data", gold, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "attack" not in report
    errors = report["metrics"]["errors"]
    assert set(errors) == set(ERRORS)
    assert main(["evaluate", str(saved), "--data", gold]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["spans", "count"] in lines
    assert ["spurious", f"{errors['spurious']:,}"] in lines
    assert errors["spurious"] > 0
