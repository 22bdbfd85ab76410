"""Several sources and targets, and a few target labels, from the command line."""

import json
import re

import pytest

from nlp_adapt.errors import ConfigError
from nlp_adapt.recipe import Recipe, dump_recipe, load_recipe
from nlp_adapt.training.inputs.recipe import sources_of, targets_of
from tests.helpers.toy_texts import FILLER, SOURCE_WORDS, TARGET_WORDS, toy_rows


@pytest.fixture
def files(tmp_path):
    """Four labelled csv files, a small one, and one in which a label is missing."""
    found = {}
    for seed, (name, words) in enumerate(
        {"books": SOURCE_WORDS, "films": FILLER, "tweets": TARGET_WORDS,
         "posts": TARGET_WORDS[::-1]}.items()
    ):  # fmt: skip
        rows = toy_rows(words, 40, seed)
        found[name] = tmp_path / f"{name}.csv"
        found[name].write_text("text,label\n" + "".join(f"{t},{label}\n" for t, label in rows))
    found["few"] = tmp_path / "few.csv"
    found["few"].write_text("text,label\na superb phone,positive\nan ugly phone,negative\n")
    found["gap"] = tmp_path / "gap.csv"
    found["gap"].write_text("text,label\na superb phone,positive\nan ugly phone,\n")
    return found


@pytest.fixture
def options(tmp_path, tiny_model_dir):
    return [
        "--model", tiny_model_dir, "--max_steps", "2", "--precision", "fp32", "--disable_tqdm",
        "--per_device_train_batch_size", "4", "--eval_strategy", "no", "--save_strategy", "no",
        "--output_dir", tmp_path / "run",
    ]  # fmt: skip


def test_sources_and_targets_as_lists(run_cli, files, options, tmp_path):
    code, out, err = run_cli(
        "train", *options, "--sources", files["books"], files["films"],
        "--targets", files["tweets"], files["posts"], "--target_few_shot", "2",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    results = json.loads(out)
    assert list(results["adapted"]["source"]["domains"]) == ["books", "films"]
    assert list(results["adapted"]["target"]["domains"]) == ["tweets", "posts"]
    assert {k: v["rows"] for k, v in results["target_labels"]["domains"].items()} == {
        "tweets": 4, "posts": 4,
    }  # fmt: skip
    recipe = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert recipe.sources == [str(files["books"]), str(files["films"])]
    assert recipe.target_few_shot == 2
    assert run_cli("verify", tmp_path / "run")[0] == 0
    code, out, _ = run_cli(
        "evaluate", tmp_path / "run", "--data", files["posts"], "--batch_size", "8"
    )
    assert code == 0
    assert "macro-F1" in out


def test_names_by_dotted_flags_with_test_rows_and_released_rows_of_one(run_cli, files, options):
    code, out, err = run_cli(
        "train", *options, "--source", files["books"], "--targets.mobile", files["tweets"],
        "--targets.forum", files["posts"], "--target_test.forum", files["posts"],
        "--target_few_shot.mobile", files["few"], "--data_doctor", "report",
    )  # fmt: skip
    assert code == 0, err
    assert re.search(r"^mobile +\d", out, re.MULTILINE)
    assert re.search(r"^forum +\d", out, re.MULTILINE)
    assert "mean target macro-F1" in out
    assert "also trained on 2 labelled rows of mobile." in out


def test_a_recipe_names_them_and_is_written_back_unchanged(files, tmp_path):
    values = {
        "sources": {"a": str(files["books"]), "b": [str(files["films"]), str(files["posts"])]},
        "target": str(files["tweets"]),
        "target_few_shot": {"tweets": 3},
    }
    recipe = load_recipe(None, values)
    dump_recipe(recipe, tmp_path / "again.yaml")
    assert load_recipe(tmp_path / "again.yaml") == recipe
    flags = load_recipe(None, {"sources": "{a: x.csv, b: y.csv}", "target_few_shot": "few.csv"})
    assert flags.sources == {"a": "x.csv", "b": "y.csv"}
    assert flags.target_few_shot == "few.csv"
    with pytest.raises(ConfigError, match="source and sources exclude each other"):
        load_recipe(None, {"source": "x.csv", "sources": ["y.csv"]})
    with pytest.raises(ConfigError, match="few_shot_share is 0"):
        load_recipe(None, {"few_shot_share": 0})


def test_a_single_name_in_a_list_is_one_domain(run_cli, files, options):
    code, out, err = run_cli(
        "train", *options, "--sources", files["books"], "--target", files["tweets"], "--json"
    )
    assert code == 0, err
    assert "domains" not in json.loads(out)["source"]


def test_a_single_word_is_a_list_where_the_key_takes_a_list_alone(run_cli, files, options):
    words = ("--source", files["books"], "--method", "source_only", "--hub_language", "en")
    assert run_cli("train", *options, *words, "--compare_source_only", "false")[0] == 0


BAD = {
    "two of one name": (
        ["--sources", "books", "books", "--target", "tweets"],
        "two domains are called 'books'",
    ),
    "both keys": (
        ["--source", "books", "--sources", "books", "films", "--target", "tweets"],
        "source and sources exclude each other",
    ),
    "a missing label": (
        ["--source", "books", "--target", "tweets", "--target_few_shot", "gap"],
        "1 row without a label (gap.csv:3)",
    ),
    "too many": (
        ["--source", "books", "--target", "tweets", "--target_few_shot", "500"],
        "target_few_shot is 500, but tweets has",
    ),
    "no target": (["--source", "books", "--method", "source_only", "--target_few_shot", "2"],
                  "target_few_shot needs a target"),
    "tests for no domain": (
        ["--sources", "books", "films", "--source_test.dvd", "few", "--target", "tweets"],
        "source_test.dvd: there is no such source",
    ),
    "one test file for several": (
        ["--source", "books", "--targets", "tweets", "posts", "--target_test", "few"],
        "target_test names the rows of each",
    ),
    "named tests for one": (
        ["--source", "books", "--target", "tweets", "--target_test.tweets", "few"],
        "that takes `targets`",
    ),
    "a stream of several": (
        ["--source", "books", "--targets", "tweets", "posts", "--streaming"],
        "streaming reads a single target",
    ),
    "a draw from a stream": (
        ["--source", "books", "--target", "tweets", "--streaming", "--target_few_shot", "2"],
        "cannot be drawn from a streamed target",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_a_sentence(run_cli, files, options, name, tmp_path):
    words, message = BAD[name]
    words = [files.get(word, word) for word in words]
    code, out, err = run_cli("train", *options, *words)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    assert message in err.replace(f"{tmp_path}/", "")
    assert not (tmp_path / "run" / "results.json").exists()


def test_the_doctor_looks_at_every_domain_and_at_released_rows(run_cli, files, tiny_model_dir):
    other = files["films"].with_name("marks.csv")
    other.write_text("text,label\n" + "".join(f"text {i},{i % 3}\n" for i in range(30)))
    common = ("doctor", "--model", tiny_model_dir, "--target", files["tweets"], "--json")
    code, out, _ = run_cli(*common, "--sources", files["books"], other)
    report = json.loads(out)
    assert code == 2
    assert report["refused"]
    messages = [finding["message"] for finding in report["findings"]]
    assert sum("do not match" in message for message in messages) == 1
    assert list(report["domains"]) == ["source books", "source marks", "target"]

    # All of the target's own rows are released, so that no test row is left.
    released = ("--target_few_shot", files["tweets"])
    code, out, _ = run_cli(*common, "--sources", files["books"], files["films"], *released)
    found = {finding["code"]: finding for finding in json.loads(out)["findings"]}
    assert code == 2
    assert found["leakage"]["severity"] == "serious"
    assert "target_few_shot" in found["leakage"]["message"]


def test_a_streamed_target_goes_with_several_sources_and_a_labelled_file(run_cli, files, options):
    code, out, err = run_cli(
        "train", *options, "--sources", files["books"], files["films"], "--target",
        files["tweets"], "--streaming", "--shuffle_buffer_size", "10",
        "--target_few_shot", files["few"], "--json",
    )  # fmt: skip
    assert code == 0, err
    results = json.loads(out)
    assert results["target_labels"]["rows"] == 2
    assert len(results["adapted"]["source"]["domains"]) == 2


@pytest.mark.parametrize("task", ["sequence-classification", "token-classification"])
def test_test_rows_may_have_classes_that_the_targets_own_rows_lack(tmp_path, run_cli, task):
    """Those labels are never trained on, so they cannot say which ones may be scored."""
    if task == "sequence-classification":
        rows = {name: f"{name} film,{name}\n" * 9 for name in ("pos", "neg", "neu")}
        head, suffix = "text,label\n", "csv"
    else:
        rows = {name: f"{name} B-{name}\nfilm O\n\n" * 9 for name in ("PER", "LOC", "ORG")}
        head, suffix = "", "conll"
    first, second, third = rows.values()
    files = {}
    for name, content in (
        ("source", first + second + third), ("target", first + second), ("test", third + first),
    ):  # fmt: skip
        files[name] = tmp_path / f"{name}.{suffix}"
        files[name].write_text(head + content)
    recipe = Recipe(
        task=task, source=str(files["source"]), target=str(files["target"]),
        target_test=str(files["test"]),
    )  # fmt: skip
    (target,) = targets_of(recipe)
    (source,) = sources_of(recipe)
    assert len(target.test) == 18
    names = source.label_names
    matched = target.with_labels(names)
    labels = matched.test[matched.label_column]
    assert {names[i] for row in labels for i in (row if isinstance(row, list) else [row])} == {
        *(("neu", "pos") if suffix == "csv" else ("B-ORG", "B-PER", "O"))
    }
