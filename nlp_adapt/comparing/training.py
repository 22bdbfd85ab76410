"""Trains a recipe with several methods and seeds: what is finished stays, what was interrupted goes on."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nlp_adapt.errors import ConfigError, RunError, RunStopped
from nlp_adapt.escaping import one_line
from nlp_adapt.launch import process_count
from nlp_adapt.methods import get_method, learns_from_twin, stages_for
from nlp_adapt.recipe import Recipe
from nlp_adapt.reporting.results import Results, read_results
from nlp_adapt.reporting.runs import FREE, resolved_recipe
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.trainer import AdaptationTrainer
from nlp_adapt.usual_names import nearest


@dataclass
class Trained:
    """What a method has come to.

    Attributes:
        runs: Results by seed.
        folders: The folder of each seed's run.
        failed: For a seed whose run failed, why.
    """

    method: str
    runs: dict[int, Results] = field(default_factory=dict)
    folders: dict[int, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


def plan(recipe: Recipe, methods: Sequence[str], seeds: int, out: str) -> list[Recipe]:
    """A recipe for each method and seed, all methods of a seed before the next seed.

    They differ in method, seed and folder alone, and in `options` of objectives that a method does not
    have. A twin is trained only where a method learns from it or keeps its class shares: the runs of
    source_only are what others are held against.

    Raises:
        ConfigError: A method is unknown or named twice, or the recipe is none that methods can fill.
    """
    if recipe.stages is not None:
        raise ConfigError("compare trains methods, but the recipe lists stages: leave them out.")
    if recipe.push_to_hub:
        raise ConfigError("compare does not push: set push_to_hub for the run that you choose.")
    for place, name in enumerate(methods):
        get_method(name, recipe.task)
        if name in methods[:place]:
            raise ConfigError(f"--methods names '{name}' twice.")
    plain = replace(recipe, options={})
    own = {name: _objectives(replace(plain, method=name)) for name in methods}
    known = set().union(*own.values())
    for name in recipe.options:
        if name not in known:
            raise ConfigError(
                f"options.{name}: no method of the comparison has the objective '{name}'"
                f"{nearest(name, sorted(known))} (they have {', '.join(sorted(known))})"
            )
    options = {
        name: {key: value for key, value in recipe.options.items() if key in own[name]}
        for name in methods
    }
    stages = {name: stages_for(replace(plain, method=name, options=options[name])) for name in own}
    return [
        replace(
            recipe,
            method=name,
            seed=recipe.seed + offset,
            output_dir=str(Path(out, name, f"seed{recipe.seed + offset}")),
            compare_source_only=learns_from_twin(stages[name]) or bool(recipe.keep_class_shares),
            fall_back=False,  # a run's export is what its method has trained
            overwrite=False,
            resume=False,
            options=options[name],
        )
        for offset in range(seeds)
        for name in methods
    ]


def train_all(recipes: Sequence[Recipe], say: Callable[[str], None]) -> list[Trained]:
    """Train what is not finished yet; a run that fails does not keep the others from going on.

    Args:
        say: Called with a sentence before each run, and where one fails.

    Raises:
        ConfigError: A folder holds the run of another recipe.
        RunStopped: A signal asked a run to stop; the same command goes on from there.
    """
    if process_count() > 1:
        raise ConfigError("compare trains one run after the other, in one process.")
    finished = [
        finished_run(recipe) for recipe in recipes
    ]  # a wrong folder is told before training
    found: dict[str, Trained] = {}
    for number, (recipe, results) in enumerate(zip(recipes, finished, strict=True), 1):
        trained = found.setdefault(recipe.method, Trained(recipe.method))
        name = f"{number} of {len(recipes)}: {recipe.method}, seed {recipe.seed}"
        if results is None:
            say(f"{name}.")
            try:
                results = _train(recipe)
            except RunStopped:
                raise
            except Exception as error:  # whatever a method fails with
                said = one_line(error) or type(error).__name__
                trained.failed[recipe.seed] = said
                say(f"{name} failed: {said}")
                continue
        else:
            say(f"{name}, is finished.")
        trained.runs[recipe.seed] = results
        trained.folders[recipe.seed] = recipe.output_dir
    return [*found.values()]


def finished_run(recipe: Recipe) -> Results | None:
    """The results of the run in a recipe's folder; None where it is missing, or not complete.

    Raises:
        ConfigError: The folder holds the run of another recipe.
    """
    path = Path(recipe.output_dir)
    if (path / "recipe.yaml").is_file():
        before, wanted = resolved_recipe(path), recipe.to_dict()
        free = set(FREE) - {"seed"}
        differing = [key for key in wanted if key not in free and before[key] != wanted[key]]
        if differing:
            raise ConfigError(
                f"{path} holds a run that differs in {', '.join(differing)}: choose another "
                "--output_dir, or delete it."
            )
    try:
        return read_results(path)
    except RunError:
        return None


def _train(recipe: Recipe) -> dict[str, Any]:
    goes_on = RunFolder(recipe.output_dir).holds_run()
    try:
        trainer = AdaptationTrainer.from_recipe(replace(recipe, resume=goes_on))
        results = trainer.train()
        if trainer.stopped is not None:  # it came while the run was scored, and ends the others
            said = f"stopped after {recipe.output_dir}, which is whole: the same command goes on."
            raise RunStopped(said, trainer.stopped.exit_code - 128)
        return results
    finally:
        gc.collect()  # the model of one run, and what refers back to it, before the next is loaded


def _objectives(recipe: Recipe) -> set[str]:
    return {name for stage in stages_for(recipe) for name in stage.objectives}
