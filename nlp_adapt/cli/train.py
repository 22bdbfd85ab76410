"""Train a source-only model and an adapted one, and compare them.

Options come from a recipe file (--config) and from flags; a flag wins. Every key of a recipe is a
flag, dashes and underscores are the same, and options of an objective are written with dots:
--options.dann.weight 0.5
"""

from __future__ import annotations

import argparse
from typing import Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import add_recipe_arguments, read_recipe, take_dotted_flags
from nlp_adapt.cli.startup import import_training
from nlp_adapt.errors import AdaptationError
from nlp_adapt.launch import is_main_process

USAGE = "nlp-adapt train [--config RECIPE.yaml] [--KEY VALUE ...] [--json] [--debug]"
HELP = "train a source-only model and an adapted one, and compare them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe file, and every key of a recipe as a flag."""
    add_recipe_arguments(parser, "results")


accept_unknown = take_dotted_flags


def run(args: argparse.Namespace) -> int:
    """Train, then print the table that compares the two models."""
    recipe = read_recipe(args)
    with console.stdout_for_results(args.json):
        results, failed_push = _train(recipe)
    if not is_main_process():
        return 0
    from nlp_adapt.reporting.table import render

    place = f"The model is in {recipe.output_dir}/model."
    console.show(args, results, lambda found: f"\n{render(found)}\n\n{place}")
    if failed_push is not None:
        raise failed_push
    return 0


def _train(recipe: Any) -> tuple[dict[str, Any], AdaptationError | None]:
    """The results, and why the push failed that came after them, if it did."""
    import_training()
    from nlp_adapt.hub.push import HubError
    from nlp_adapt.training.trainer import AdaptationTrainer

    trainer = AdaptationTrainer.from_recipe(recipe)
    try:
        return trainer.train(), None
    except HubError as error:
        if not trainer.results:
            raise
        return trainer.results, error
