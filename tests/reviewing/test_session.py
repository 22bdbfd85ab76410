"""A review from the draw to the verdict, in the folder of a run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import nlp_adapt
from nlp_adapt.cli import main
from nlp_adapt.data.loading import load_domain
from nlp_adapt.errors import AdaptationError, DataError, RunError
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.reviewing.session import review
from nlp_adapt.reviewing.state import load
from nlp_adapt.training.saving.run_folder import RunFolder
from tests.helpers.reviewed import reviewable_run, reviewable_tagger


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return reviewable_run(tmp_path)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))


def fill(path: Path, answer) -> Path:
    """Answer every row of a csv as a person would, by `answer(row)`."""
    rows = rows_of(path)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "answer": answer(row)} for row in rows)
    return path


def by_model(path: Path):
    """Answers with what the model in a folder says."""
    texts = load_predictor(path)
    return lambda row: texts.predict(row["text"])[0]["label"]


def test_from_the_draw_to_the_verdict(run: Path, capsys) -> None:
    assert main(["review", str(run), "--rows", "20", "--agreeing", "4"]) == 0
    assert "The models differ on" in capsys.readouterr().out
    rows = rows_of(run / "review.csv")
    assert list(rows[0]) == ["id", "text", "a", "b", "answer"]
    assert len(rows) == 24
    assert {row["a"] for row in rows} == {"negative", "positive"}
    labels = fill(run / "review.csv", by_model(run / "source_only" / "model"))
    assert main(["review", str(run), "--labels", str(labels)]) == 0
    said = capsys.readouterr().out
    assert "By 20 answers, the source-only model is better on tweets" in said
    results = json.loads((run / "results.json").read_text())
    assert results["review"]["verdict"] == "source_only"
    assert (results["review"]["losses"], results["review"]["agreeing"]) == (20, 4)
    assert RunFolder(run).manifest.problems(run / "results.json", RunFolder(run).review) == []
    assert "By a person's answers" in (run / "model" / "README.md").read_text()
    known = load_domain(str(run / "review_labels.jsonl"), test_fraction=0.0)
    assert len(known.train) == 24
    assert set(known.label_names) <= {"negative", "positive"}


def test_the_better_model_is_exported_and_back(run: Path, capsys) -> None:
    weights = {name: (run / name / "model.safetensors").read_bytes()
               for name in ("model", "source_only/model")}  # fmt: skip
    review(run, rows=20, agreeing=0)
    labels = fill(run / "review.csv", by_model(run / "source_only" / "model"))
    assert main(["review", str(run), "--labels", str(labels), "--switch_export", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exported"] == "source_only"
    assert (run / "model" / "model.safetensors").read_bytes() == weights["source_only/model"]
    assert (run / "adapted/model/model.safetensors").read_bytes() == weights["model"]
    results = json.loads((run / "results.json").read_text())
    assert results["exported"] == results["review"]["exported"] == "source_only"
    assert "by a person's answers, not kept" in (run / "model/README.md").read_text()
    assert RunFolder(run).known()["exported"] == "source_only"
    # The review goes on about the same two models, wherever they lie.
    fill(labels, by_model(run / "adapted" / "model"))
    found = review(run, labels, switch_export=True)
    assert (found["verdict"], found["exported"]) == ("adapted", "adapted")
    assert (run / "model" / "model.safetensors").read_bytes() == weights["model"]
    assert not (run / "adapted").exists()
    assert RunFolder(run).manifest.problems(run / "model") == []


def test_a_better_model_that_is_kept_apart_is_named_and_the_page_tells_the_answers(
    run: Path, capsys
) -> None:
    page = run / "report.html"
    page.write_text("of before the answers", encoding="utf-8")
    review(run, rows=20, agreeing=0)
    labels = fill(run / "review.csv", by_model(run / "source_only" / "model"))
    assert main(["review", str(run), "--labels", str(labels)]) == 0
    hint = "It is not the one in model/: --switch_export puts it there."
    assert hint in capsys.readouterr().out.splitlines()
    assert "a person’s answers" in page.read_text(encoding="utf-8").replace("&#x27;", "’")
    assert main(["review", str(run), "--labels", str(labels), "--switch_export"]) == 0
    assert hint not in capsys.readouterr().out


def test_an_open_question_switches_nothing(run: Path, capsys) -> None:
    review(run, rows=6, agreeing=0)
    labels = fill(run / "review.csv", lambda row: "neither")
    assert main(["review", str(run), "--labels", str(labels), "--switch_export"]) == 0
    assert "do not settle it" in capsys.readouterr().err
    assert not (run / "adapted").exists()


def test_no_test_row_is_shown_unless_asked_for(run: Path) -> None:
    target = load_domain(str(run.parent / "tweets.csv"))
    test = set(target.test["text"])
    shown = review(run, rows=1000, agreeing=1000)
    texts = {row["text"] for row in rows_of(run / "review.csv")}
    assert texts == set(target.train["text"]) - test
    assert shown["texts"] == len(texts)
    with_test = review(run, rows=1000, agreeing=1000, test_rows=True, anew=True)
    assert with_test["texts"] == len(texts | test)


def test_rows_trained_on_with_labels_are_not_shown(run: Path) -> None:
    recipe = json.loads((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(json.dumps({**recipe, "target_few_shot": 3}))
    released = review(run, rows=1000, agreeing=1000)["texts"]
    (run / "recipe.yaml").write_text(json.dumps(recipe))
    assert review(run, rows=1000, agreeing=1000, anew=True)["texts"] == released + 6


def test_labels_of_the_target_change_nothing(run: Path) -> None:
    before = review(run, rows=15)
    drawn = (run / "review.csv").read_bytes()
    target = run.parent / "tweets.csv"
    text = target.read_text()
    target.write_text(text.replace("positive", "p").replace("negative", "positive")
                      .replace(",p\n", ",negative\n"))  # fmt: skip
    assert review(run, rows=15, anew=True) == before
    assert (run / "review.csv").read_bytes() == drawn


def test_it_goes_on_with_the_rows_that_wait_and_then_with_new_ones(run: Path) -> None:
    review(run, rows=8, agreeing=2)
    first = {row["id"] for row in rows_of(run / "review.csv")}
    review(run, rows=8, agreeing=2)
    assert {row["id"] for row in rows_of(run / "review.csv")} == first
    labels = fill(run / "review.csv", lambda row: "A")
    with pytest.raises(RunError, match="holds 10 answers that were not read yet"):
        review(run, rows=8, agreeing=2)
    review(run, labels)
    review(run, rows=8, agreeing=2)
    second = {row["id"] for row in rows_of(run / "review.csv")}
    assert len(second) == 10
    assert not first & second
    found = review(run, fill(run / "review.csv", lambda row: "B"))
    assert found["wins"] + found["losses"] == 16
    state = load(RunFolder(run))
    assert set(state.first_look) == first
    everything = review(run, rows=1000, agreeing=0)
    assert everything["rows"] + 16 == everything["differing"]


def test_a_stopped_review_is_continued_from_its_state(run: Path) -> None:
    review(run, rows=8, agreeing=2)
    written = (run / "review.csv").read_bytes()
    for name in ("review.csv", "review.html"):
        (run / name).unlink()
    review(run, rows=8, agreeing=2)
    assert (run / "review.csv").read_bytes() == written


def test_a_damaged_state_and_other_models_are_refused(run: Path) -> None:
    review(run, rows=8)
    state = RunFolder(run).review
    kept = state.read_bytes()
    state.write_bytes(kept + b" ")
    with pytest.raises(RunError, match="--anew"):
        review(run, rows=8)
    state.write_bytes(kept)
    weights = run / "source_only" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(RunError, match="models have changed"):
        review(run, rows=8)


def test_what_cannot_be_reviewed_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no review was begun"):
        review(run, tmp_path / "tweets.csv")
    with pytest.raises(RunError, match=r"no readable results\.json"):
        review(tmp_path)
    review(run, rows=4)
    with pytest.raises(RunError, match="began with data None"):
        review(run, rows=9, data="other.csv")
    with pytest.raises(DataError, match="no row is of this review"):
        review(run, tmp_path / "tweets.csv")
    with pytest.raises(AdaptationError, match="does not exist"):
        review(run, tmp_path / "nothing.csv")
    assert main(["review", str(run), "--rows", "3", "--labels", "x.csv"]) == 2


def test_other_text_of_the_target_can_be_given(run: Path) -> None:
    newer = run.parent / "newer.txt"
    newer.write_text("".join(f"word{i} word{i + 1} word{i + 2}\n" for i in range(60)))
    found = nlp_adapt.review(run, rows=5, data=str(newer))
    assert (found["name"], found["texts"]) == ("newer", 60)


def test_stretches_of_tagged_text_are_asked(tmp_path: Path, capsys) -> None:
    run = reviewable_tagger(tmp_path)
    assert main(["review", str(run), "--rows", "15", "--agreeing", "3"]) == 0
    rows = rows_of(run / "review.csv")
    assert all("[[" in row["text"] and "]]" in row["text"] for row in rows)
    state = load(RunFolder(run))
    assert state.tagging
    ours = {name: "A" if item.a == item.unit.adapted else "B" for name, item in state.items.items()}
    labels = fill(run / "review.csv", lambda row: ours[row["id"]])
    assert main(["review", str(run), "--labels", str(labels)]) == 0
    said = capsys.readouterr().out
    assert "the adapted model is better" in said
    assert "stretches" in said
    results = json.loads((run / "results.json").read_text())
    assert results["review"]["wins"] == 15
    assert results["review"]["class_shares"] is None
    assert not (run / "review_labels.jsonl").exists()


def test_three_classes_and_labels_typed_by_hand(tmp_path: Path) -> None:
    names = ("bad", "so-so", "good")
    run = reviewable_run(tmp_path, labels=names)
    review(run, rows=20, agreeing=5)
    labels = fill(run / "review.csv", lambda row: " So-So ")
    found = review(run, labels)
    assert found["wins"] + found["losses"] + found["neither"] == 20
    assert found["neither"] > 0
    state = load(RunFolder(run))
    wins = [i for i in state.items.values() if i.unit.differ and i.unit.adapted == "so-so"]
    assert found["wins"] == len(wins)
