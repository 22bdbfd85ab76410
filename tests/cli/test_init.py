"""`nlp-adapt init` writes a recipe that fits the data, and that runs."""

import json

import pytest

from nlp_adapt.recipe import load_recipe
from nlp_adapt.yaml_text import inline_yaml, read_yaml


@pytest.fixture
def init(run_cli, tmp_path, tiny_model_dir):
    """Run init; the exit code, the recipe's text and stderr."""

    def run(*words, model=tiny_model_dir):
        out = tmp_path / "recipe.yaml"
        code, _, err = run_cli("init", *words, "--model", model, "--out", out)
        return code, out.read_text() if out.exists() else "", err

    return run


def write(path, text):
    path.write_text(text)
    return path


def test_a_recipe_for_texts_runs(init, run_cli, toy_source_csv, toy_target_jsonl, tmp_path):
    code, text, err = init("--source", toy_source_csv, "--target", toy_target_jsonl)
    assert (code, err) == (0, "")
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.task, recipe.method) == ("sequence-classification", "auto")
    assert (recipe.max_length, recipe.num_train_epochs) == (32, 5)
    assert "# 96 labelled rows: 48 negative, 48 positive" in text
    assert recipe.label_map == {}
    code, out, _ = run_cli(
        "train", "--config", tmp_path / "recipe.yaml", "--max_steps", 2, "--json",
        "--output_dir", tmp_path / "run", "--disable_tqdm", "--precision", "fp32",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["method"] == "auto"


def test_tagged_files_are_recognised_and_their_types_mapped(init, tmp_path):
    news = write(tmp_path / "news.conll", "Ann B-PER\nran O\n\nOslo B-LOC\nis O\n\n" * 20)
    notes = write(tmp_path / "notes.conll", "Bo B-person\nhas O\nflu B-disease\n\n" * 20)
    code, text, _ = init("--source", news, "--target", notes)
    assert code == 0
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.task, recipe.method) == ("token-classification", "auto")
    assert recipe.label_map == {"disease": "ignore", "person": "PER"}
    assert "CHECK" in text


def test_long_texts_get_long_rows_and_small_batches(init, tmp_path):
    long = " ".join(["word"] * 300)
    source = write(tmp_path / "a.csv", "text,label\n" + f"{long} a,pos\n{long} b,neg\n" * 10)
    target = write(tmp_path / "b.txt", f"{long}\n" * 10)
    _, text, _ = init("--source", source, "--target", target, model="no-such/model")
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.max_length, recipe.per_device_train_batch_size) == (416, 8)
    assert "holds about 95%" in text
    assert "name them with target_test" in text


def test_labels_and_names_cannot_add_lines(init, tmp_path):
    evil = tmp_path / "a: b #c\nseed: 13.csv"
    write(evil, 'text,label\n"one","x\nseed: 7"\n"two","y # z"\n' * 20)
    target = write(tmp_path / "b.txt", "three\n" * 10)
    code, _, _ = init("--source", evil, "--target", target)
    assert code == 0
    assert load_recipe(tmp_path / "recipe.yaml").source == str(evil)
    assert "seed" not in read_yaml(tmp_path / "recipe.yaml")


def test_a_recipe_is_not_overwritten_by_accident(init, toy_source_csv, toy_target_jsonl):
    words = ("--source", toy_source_csv, "--target", toy_target_jsonl)
    assert init(*words)[0] == 0
    code, _, err = init(*words)
    assert code == 2
    assert "--overwrite" in err
    assert init(*words, "--overwrite")[0] == 0


@pytest.mark.parametrize("task", [[], ["--task", "sequence-classification"]])
def test_a_source_without_labels_is_refused(init, toy_target_jsonl, tmp_path, task):
    raw = write(tmp_path / "raw.txt", "one\ntwo\n")
    code, text, err = init("--source", raw, "--target", toy_target_jsonl, *task)
    assert (code, text) == (2, "")
    assert "--label_column" in err


@pytest.mark.parametrize(
    "value",
    ["a", "1", "true", "no", "2e-5", "", " ", "a: b", "#x", "[a", "x\ny", "é", 1, 2e-5, True, None,
     {"1": "yes", "a: b": "c, d"}, ["x", "y]"]],
)  # fmt: skip
def test_inline_values_read_back_unchanged(tmp_path, value):
    path = write(tmp_path / "x.yaml", f"key: {inline_yaml(value)}  # comment\n")
    assert read_yaml(path) == {"key": value}


def test_it_says_what_to_write_where_there_are_more_labels(tmp_path, toy_source_csv,
                                                           toy_target_jsonl, run_cli):  # fmt: skip
    raw = tmp_path / "raw.txt"
    raw.write_text("a phone\na battery\n" * 20)
    said = {}
    for target in (toy_target_jsonl, raw):
        out = tmp_path / f"{target.stem}.yaml"
        words = ("init", "--source", toy_source_csv, "--target", target, "--out", out)
        assert run_cli(*words)[0] == 0
        said[target] = out.read_text()
        assert "# More labels? sources: {name: file, other: file}" in said[target]
    assert "target_few_shot: 16 trains on 16 labelled rows of each class" in said[toy_target_jsonl]
    assert "target_few_shot: FILE" in said[raw]


def test_each_domain_has_columns_and_an_encoding_of_its_own(init, run_cli, tmp_path):
    source = tmp_path / "reviews.csv"
    source.write_bytes("Rezension,Note\nschön,gut\nübel,schlecht\n".encode("cp1252"))
    target = write(tmp_path / "mails.csv", "Betreff,Inhalt,Urteil\nx,schön,gut\ny,übel,schlecht\n")
    flags = [
        *("--source_text_column", "Rezension", "--source_label_column", "Note"),
        *("--source_encoding", "cp1252"),
        *("--target_text_column", "Inhalt", "--target_label_column", "Urteil"),
    ]
    code, text, err = init("--source", source, "--target", target, *flags)
    assert code == 0, err
    assert "source_text_column: Rezension" in text
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert recipe.reading("source") == {
        "text_column": "Rezension", "label_column": "Note", "encoding": "cp1252",
    }  # fmt: skip
    assert recipe.reading("target")["text_column"] == "Inhalt"
    code, out, err = run_cli("labels", source, target, *flags, "--json")
    assert (code, json.loads(out)["shared"]) == (0, ["gut", "schlecht"]), err
    code, out, err = run_cli("doctor", "--config", tmp_path / "recipe.yaml", "--json")
    assert json.loads(out)["domains"]["target"]["rows"], err
    code, out, _ = run_cli("doctor", "--source", source, "--target", target, *flags[:6], "--json")
    refused = json.loads(out)["findings"][0]
    assert (code, refused["domain"]) == (2, "target")
    assert "looks like text" in refused["message"]


def test_a_map_of_tags_that_cannot_be_read_is_kept_beside_the_proposal(init, tmp_path):
    news = write(tmp_path / "news.conll", "Ann B_PER\nran O\n\n" * 20)
    notes = write(tmp_path / "notes.conll", "Bo B-person\nhas O\n\n" * 20)
    code, _, err = init("--source", news, "--target", notes)
    assert code == 2
    assert "label_map: {B_PER: B-PER}" in err
    code, _, err = init("--source", news, "--target", notes, "--label_map", "{B_PER: B-PER}")
    assert (code, err) == (0, "")
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert recipe.label_map == {"B_PER": "B-PER", "person": "PER"}
    code, _, err = init(
        "--source", notes, "--target", notes, "--label_map", "{B_PER: B-PER}", "--overwrite"
    )
    assert code == 2
    assert "B_PER" in err
