"""`diagnose` on toy domains, of texts and of words, from Python and from the command line."""

import json

import pytest

import nlp_adapt
from nlp_adapt.errors import DataError
from tests.helpers.toy_texts import SOURCE_WORDS, TARGET_WORDS, conll, toy_rows


@pytest.fixture
def files(tmp_path):
    """A source whose classes are even, and a target of which a quarter is positive."""
    texts = {}
    for name, words, count in (("reviews", SOURCE_WORDS, 120), ("tweets", TARGET_WORDS, 200)):
        rows = toy_rows(words, count, seed=count)
        if name == "tweets":
            rows = [row for number, row in enumerate(rows) if number % 6 not in (1, 3)]
        texts[name] = rows
        path = tmp_path / f"{name}.csv"
        path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return tmp_path / "reviews.csv", tmp_path / "tweets.csv"


@pytest.fixture
def found(files, tiny_model_dir):
    return nlp_adapt.diagnose(*map(str, files), model=str(tiny_model_dir), max_length=32)


def test_the_report_holds_plain_values(found):
    assert json.loads(json.dumps(found)) == found
    assert list(found) == [
        "task", "model", "max_length", "domains", "lengths", "words", "telling_words", "distance",
        "examples", "class_shares", "entities", "overlap", "recommendation",
    ]  # fmt: skip
    target = found["domains"]["target"]
    assert target["training"] == target["looked_at"] == target["encoded"]
    assert found["lengths"]["source"]["words"] == {"median": 6, "ninetieth": 6, "most": 6}
    assert found["distance"]["words"] > 1.5 > found["distance"]["length"]
    assert {e["word"] for e in found["telling_words"]["target"]} & set(TARGET_WORDS)
    assert found["entities"] is None
    assert set(found["class_shares"]["shares"]) == {"source", "predicted", "em", "bbse"}
    assert found["recommendation"]["method"] == "auto"


def test_no_label_of_the_target_is_read(found, files, tiny_model_dir):
    source, target = files
    rows = target.read_text()
    flipped = rows.replace("positive", "?").replace("negative", "positive").replace("?", "negative")
    target.write_text(flipped)
    again = nlp_adapt.diagnose(str(source), str(target), model=str(tiny_model_dir), max_length=32)
    assert again == found


def test_larger_domains_are_sampled(files, tiny_model_dir):
    options = {"model": str(tiny_model_dir), "most_rows": 50}
    found = nlp_adapt.diagnose(*map(str, files), **options)
    for side in ("source", "target"):
        own = found["domains"][side]
        assert own["training"] > own["looked_at"] == own["encoded"] == 50
    assert found == nlp_adapt.diagnose(*map(str, files), **options)


def test_shared_rows_are_counted(files, tiny_model_dir):
    source, _ = files
    found = nlp_adapt.diagnose(str(source), str(source), model=str(tiny_model_dir))
    assert found["overlap"]["target_in_source"] == found["domains"]["target"]["training"]
    assert found["overlap"]["test_in_source"] == 0
    assert found["recommendation"]["adapt"] is False
    assert found["distance"]["encoder"] < 0.3


def test_words_have_shares_of_entity_types_and_unseen_entities(tmp_path, tiny_model_dir):
    for name, words in (("news", SOURCE_WORDS), ("posts", TARGET_WORDS)):
        (tmp_path / f"{name}.conll").write_text(conll(words, sentences=96))
    found = nlp_adapt.diagnose(
        str(tmp_path / "news.conll"),
        str(tmp_path / "posts.conll"),
        task="token-classification",
        model=str(tiny_model_dir),
    )
    assert set(found["class_shares"]["shares"]["em"]) == {"O", "PER", "LOC", "ORG"}
    assert found["entities"]["target"] > found["entities"]["source"]
    assert "new-entities" in {one["rule"] for one in found["recommendation"]["says"]}


def test_domains_that_cannot_be_diagnosed_are_refused(files, tmp_path, tiny_model_dir):
    source, target = files
    (tmp_path / "plain.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match="no labelled training rows"):
        nlp_adapt.diagnose(str(tmp_path / "plain.txt"), str(target), model=str(tiny_model_dir))
    (tmp_path / "news.conll").write_text(conll(SOURCE_WORDS))
    words = nlp_adapt.load_domain(str(tmp_path / "news.conll"), task="token-classification")
    with pytest.raises(DataError, match="read both for the same task"):
        nlp_adapt.diagnose(str(source), words, model=str(tiny_model_dir))


def test_the_command_prints_text_or_json(run_cli, files, tiny_model_dir):
    words = ["diagnose", "--source", files[0], "--target", files[1], "--model", tiny_model_dir]
    code, out, err = run_cli(*words, "--max-source-rows", 60, "--max-length", 5)
    assert (code, err) == (0, "")
    for part in ("proxy A-distance by", "Words that tell", "Nearest texts", "target, EM",
                 "longer than 5 tokens", "Repeated rows", "Recommended: adapt", "rule of thumb"):  # fmt: skip
        assert part in out
    code, out, _ = run_cli(*words, "--json")
    assert code == 0
    assert json.loads(out)["recommendation"]["says"]


def test_one_source_and_one_target_are_needed(run_cli, files):
    code, _, err = run_cli("diagnose", "--source", files[0])
    assert code == 2
    assert "--target" in err
    code, _, err = run_cli("diagnose", "--sources", *files, "--target", files[1])
    assert code == 2
    assert "one source and one target" in err
