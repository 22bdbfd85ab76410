"""Every recipe runs: two steps of each of its stages, on toy data and a tiny model."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.methods import METHODS, stages_for
from nlp_adapt.objectives import OBJECTIVES
from nlp_adapt.recipe import load_recipe
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.toy_texts import SOURCE_WORDS, TARGET_WORDS, conll

ROOT = Path(__file__).parents[2]
RECIPES = sorted(
    path for path in ROOT.glob("recipes/*/*.yaml") if path.parent.name not in ("accelerate",)
)
TAGGING = "token-classification"


@pytest.fixture(scope="session")
def tagged_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagged")
    (folder / "news.conll").write_text(conll(SOURCE_WORDS))
    (folder / "tweets.conll").write_text(conll(TARGET_WORDS))
    return folder / "news.conll", folder / "tweets.conll"


@pytest.fixture(scope="session")
def teachers(tmp_path_factory, tiny_model_dir):
    """A model to distil from, by task."""
    import transformers

    folders = {}
    tags = ["O", *(f"{prefix}-{kind}" for kind in ("LOC", "ORG", "PER") for prefix in "BI")]
    for task, kind, names in (
        ("sequence-classification", "SequenceClassification", ["negative", "positive"]),
        (TAGGING, "TokenClassification", tags),
    ):
        folders[task] = tmp_path_factory.mktemp("teacher") / kind
        model = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
            tiny_model_dir,
            id2label=dict(enumerate(names)),
            label2id={name: index for index, name in enumerate(names)},
        )
        model.save_pretrained(folders[task])
        transformers.AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(folders[task])
    return folders


@pytest.fixture(scope="session")
def rated_csv(tmp_path_factory, toy_source_csv):
    """The toy source with a second column of labels."""
    header, *rows = toy_source_csv.read_text().splitlines()
    lines = [f"{row},{(-3, -1, 1, 3)[number % 4]}" for number, row in enumerate(rows)]
    path = tmp_path_factory.mktemp("rated") / "reviews.csv"
    path.write_text("\n".join([f"{header},rating", *lines]) + "\n")
    return path


@pytest.fixture
def toy_options(
    tmp_path, teachers, tiny_model_dir, toy_source_csv, toy_target_jsonl, rated_csv, tagged_files
):
    """The options that shrink a shipped recipe to a test."""

    def options(shipped):
        task = shipped.task
        source, target = tagged_files if task == TAGGING else (toy_source_csv, toy_target_jsonl)
        auxiliary = {name: dict(entry) for name, entry in shipped.auxiliary.items()}
        for entry in auxiliary.values():
            if "reference" in entry:
                tags = entry.get("task") == TAGGING
                entry["reference"] = str(tagged_files[0] if tags else rated_csv)
            else:
                source = rated_csv
        return {
            "model": str(tiny_model_dir),
            "teacher": str(teachers[task]) if shipped.teacher else None,
            **side_options(shipped, "source", str(source)),
            **side_options(shipped, "target", str(target)),
            "target_test": str(target) if shipped.target_test else None,
            "label_map": {},  # the toy labels need none
            "auxiliary": auxiliary,
            "target_few_shot": 2 if shipped.target_few_shot else None,
            "output_dir": str(tmp_path / "run"),
            "max_source_rows": 24,
            "max_target_rows": 24,
            "per_device_train_batch_size": 4,
            "max_length": 24,
            "bf16": False,
            "compare_source_only": False,
            "disable_tqdm": True,
            "eval_strategy": "no",
            "save_strategy": "no",
            "precision": "fp32",  # choosing one takes longer than two steps
        }

    return options


def side_options(shipped, side, file):
    """The toy file in the place of a side's domain, or of each of several."""
    several = getattr(shipped, f"{side}s")
    if several:
        return {side: None, f"{side}s": dict.fromkeys(several, file)}
    return {side: file}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_runs(path, toy_options):
    shipped = load_recipe(path)
    stages = stages_for(shipped)
    trained = sum(not stage.fit for stage in stages)
    steps = 2 * max(trained, 1)
    recipe = load_recipe(path, {**toy_options(shipped), "max_steps": steps})
    trainer = AdaptationTrainer.from_recipe(recipe)
    results = trainer.train()
    assert results["adapted"]["steps"] == (steps if trained else 0)
    assert 0 <= results["adapted"]["target"][results["main_metric"]] <= 1
    saved = {file.name for file in Path(recipe.output_dir, "model").iterdir()}
    assert saved & {"model.safetensors", "adapter_model.safetensors"}


@pytest.mark.parametrize(
    ("folder", "task"), [("sentiment", "sequence-classification"), ("ner", TAGGING)]
)
def test_every_method_has_a_recipe_for_each_task(folder, task):
    found = {path.stem: path for path in RECIPES if path.parent.name == folder}
    for name, method in METHODS.items():
        if task in method.tasks:
            recipe = load_recipe(found[name])
            assert (recipe.method, recipe.task, recipe.stages) == (name, task, None)


def test_recipes_begin_with_what_they_are_for_and_write_to_folders_of_their_own():
    folders = [load_recipe(path).output_dir for path in RECIPES]
    assert len(set(folders)) == len(folders)
    for path in RECIPES:
        assert path.read_text().startswith("# "), path


@pytest.mark.parametrize(
    ("script", "config"),
    [
        ("run_sentiment", ["--config", "recipes/sentiment/dann.yaml"]),
        ("run_ner", ["recipes/ner/dann.yaml"]),
    ],
)
def test_the_scripts_run_from_top_to_bottom(script, config, toy_options, monkeypatch, capsys):
    options = toy_options(load_recipe(ROOT / config[-1]))
    words = [*config, "--max_steps", "2"]
    for name in ("model", "source", "target", "output_dir"):
        words += [f"--{name}", options[name]]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [script, *words])
    spec = importlib.util.spec_from_file_location(script, ROOT / "recipes" / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    out = capsys.readouterr().out
    assert "source-only" in out.casefold()
    assert module.EXAMPLES[0] in out
    results = json.loads(Path(options["output_dir"], "results.json").read_text())
    assert results["adapted"]["steps"] == 2


@pytest.mark.parametrize("name", ["mdd", "information_maximisation", "udalm"])
@pytest.mark.parametrize("folder", ["sentiment", "ner"])
def test_a_recipe_spells_out_the_strengths_that_its_method_has_without_it(folder, name):
    """Those of the authors' code: margin 4 at 0.1, SHOT's 1 and 1, and half of each loss."""
    recipe = load_recipe(ROOT / "recipes" / folder / f"{name}.yaml")
    plain = AdaptationConfig(task=recipe.task, method=name)
    assert recipe.lambda_max == plain.lambda_max
    found, expected = (
        [
            {key: OBJECTIVES[key].read_options(key, own) for key, own in stage.objectives.items()}
            for stage in stages_for(config)
        ]
        for config in (recipe, plain)
    )
    words = recipe.task == TAGGING
    last = found[-1]
    if name == "mdd":
        assert (last[name].margin, last[name].lambda_max, last[name].weight) == (4.0, 0.1, 1.0)
    elif name == "udalm":
        assert (last["task"].weight, last["mlm"].weight) == (0.5, 0.5)
    else:
        assert (last[name].weight, last[name].marginal_weight) == (0.1 if words else 1.0, 1.0)
        assert last[name].prior == ("types" if words else "uniform")
        last[name].prior = None
    assert found == expected
