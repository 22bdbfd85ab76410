"""Methods trained on one recipe: equal seeds, resumable, and no failure loses the others."""

import json
import signal

import pytest

from nlp_adapt.comparing import training
from nlp_adapt.comparing.training import finished_run, plan, train_all
from nlp_adapt.config_checks import check_config
from nlp_adapt.errors import ConfigError, RunStopped
from nlp_adapt.recipe import Recipe


@pytest.fixture
def recipe(tiny_model_dir, toy_source_csv, toy_target_jsonl):
    return Recipe(
        model=str(tiny_model_dir),
        source=str(toy_source_csv),
        target=str(toy_target_jsonl),
        max_steps=2,
        per_device_train_batch_size=4,
        max_length=16,
        precision="fp32",
        disable_tqdm=True,
        options={"dann": {"weight": 0.5}},
    )


def test_a_plan_changes_method_seed_and_folder_alone(recipe):
    found = plan(recipe, ["source_only", "dann"], 2, "runs/x")
    assert [(one.method, one.seed, one.output_dir) for one in found] == [
        ("source_only", 42, "runs/x/source_only/seed42"),
        ("dann", 42, "runs/x/dann/seed42"),
        ("source_only", 43, "runs/x/source_only/seed43"),
        ("dann", 43, "runs/x/dann/seed43"),
    ]
    assert not any(one.compare_source_only for one in found)
    assert [one.options for one in found[:2]] == [{}, {"dann": {"weight": 0.5}}]
    assert {one.max_steps for one in found} == {2}


def test_a_method_that_learns_from_its_twin_trains_one(recipe):
    recipe.options = {}
    found = plan(recipe, ["source_only", "auto", "self_training"], 1, "runs/x")
    assert [one.compare_source_only for one in found] == [False, True, False]
    recipe.options = {"self_training": {"teacher": "twin"}}
    found = plan(recipe, ["source_only", "self_training"], 1, "runs/x")
    assert [one.compare_source_only for one in found] == [False, True]


def test_what_needs_a_twin_gets_one(recipe):
    recipe.keep_class_shares, recipe.fall_back = True, True
    found = plan(recipe, ["source_only", "dann"], 1, "runs/x")
    assert all(one.compare_source_only and one.fall_back is False for one in found)
    for one in found:
        check_config(one.adaptation_config())


@pytest.mark.parametrize(
    ("methods", "changes", "said"),
    [
        (["dan"], {}, "unknown method 'dan'"),
        (["dann", "dann"], {}, "names 'dann' twice"),
        (["mcc"], {}, "no method of the comparison has the objective 'dann'"),
        (["dann"], {"stages": [{"objectives": ["task"]}]}, "lists stages"),
        (["dann"], {"push_to_hub": True}, "does not push"),
    ],
)
def test_what_cannot_be_planned_is_refused(recipe, methods, changes, said):
    for key, value in changes.items():
        setattr(recipe, key, value)
    with pytest.raises(ConfigError, match=said):
        plan(recipe, methods, 1, "runs/x")


def test_finished_runs_stay_and_interrupted_ones_go_on(recipe, tmp_path, monkeypatch):
    recipes = plan(recipe, ["source_only", "dann"], 1, str(tmp_path))
    train, asked = training._train, []

    def stopped_at_the_second(one):
        if asked:
            raise RunStopped("stopped", 15)
        asked.append(one.method)
        return train(one)

    monkeypatch.setattr(training, "_train", stopped_at_the_second)
    with pytest.raises(RunStopped):
        train_all(recipes, print)
    said = []
    monkeypatch.setattr(training, "_train", train)
    first = train_all(recipes, said.append)
    assert said == ["1 of 2: source_only, seed 42, is finished.", "2 of 2: dann, seed 42."]
    assert all(one.runs[42]["source_only"] is None for one in first)
    # As where a run broke off before its last file was written.
    (tmp_path / "dann" / "seed42" / "results.json").unlink()
    again = train_all(recipes, said.append)[1].runs[42]
    assert again["resumed"]["exact"]
    assert again["adapted"]["target"] == first[1].runs[42]["adapted"]["target"]


def test_a_signal_while_a_run_is_scored_ends_the_comparison(recipe, tmp_path, monkeypatch):
    from nlp_adapt.training import run

    recipes = plan(recipe, ["dann", "source_only"], 1, str(tmp_path))
    score = run.score_trained

    def with_signal(*args, **named):
        signal.raise_signal(signal.SIGTERM)
        return score(*args, **named)

    monkeypatch.setattr(run, "score_trained", with_signal)
    with pytest.raises(RunStopped, match="which is whole: the same command goes on") as stopped:
        train_all(recipes, print)
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert finished_run(recipes[0])
    assert not (tmp_path / "source_only").exists()
    monkeypatch.setattr(run, "score_trained", score)
    said = []
    assert len(train_all(recipes, said.append)) == 2
    assert said[0].endswith("dann, seed 42, is finished.")


def test_a_folder_with_another_recipe_is_refused_before_anything_trains(recipe, tmp_path):
    (own,) = plan(recipe, ["dann"], 1, str(tmp_path))
    assert finished_run(own) is None
    folder = tmp_path / "dann" / "seed42"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("method: dann\nmax_steps: 7\n")
    with pytest.raises(ConfigError, match=r"differs in .*max_steps"):
        train_all([own], print)


def test_the_command_ranks_what_trains_and_tells_what_fails(run_cli, recipe, tmp_path, monkeypatch):
    train = training._train

    def failing(one):
        if one.method == "mcc":
            raise RuntimeError("no\nmemory")
        return train(one)

    monkeypatch.setattr(training, "_train", failing)
    words = ["compare", "--methods", "source_only, mcc", "--seeds", 2, "--seed", 7]
    for key in ("model", "source", "target", "max_steps", "max_length", "precision"):
        words += [f"--{key}", getattr(recipe, key)]
    words += ["--per_device_train_batch_size", 4, "--output_dir", tmp_path / "runs"]
    words += ["--disable_tqdm", "--target_test", recipe.target]
    code, out, err = run_cli(*words, "--json")
    found = json.loads(out)
    assert code == 2
    assert "mcc, seed 7 failed: no memory" in err
    assert found["seeds"] == [7, 8]
    assert [(one["method"], one["rank"]) for one in found["methods"]] == [
        ("source_only", 1), ("mcc", None),
    ]  # fmt: skip
    assert found["methods"][0]["target"] is not None
    code, out, err = run_cli(*words, "--markdown", "--out", tmp_path / "page.html")
    assert out.startswith("| method | rank |")
    assert "- mcc with seed 8 failed: no memory" in out
    assert err.count("is finished") == 2
    assert (tmp_path / "page.html").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name finished runs"),
        (["runs/a", "--methods", "dann"], "not both"),
        (["runs/a", "--max_steps", "3"], "not both"),
        (["--methods", "dann", "--method", "mcc"], "--method is for a single run"),
        (["runs/a", "--json", "--markdown"], "exclude each other"),
    ],
)
def test_options_that_contradict_each_other_are_refused(run_cli, words, said):
    code, _, err = run_cli("compare", *words)
    assert code == 2
    assert said in err
