"""Train a source-only model and an adapted one, and compare them.

Options come from a recipe file (--config) and from flags; a flag wins. Every key of a recipe is a
flag, dashes and underscores are the same, and options of an objective are written with dots:
--options.dann.weight 0.5
"""

import argparse
import gc
import importlib
from functools import cache

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import add_recipe_arguments, read_recipe, take_dotted_flags
from nlp_adapt.escaping import in_lines
from nlp_adapt.launch import is_main_process
from nlp_adapt.recipe import Recipe
from nlp_adapt.yaml_text import yaml_text

USAGE = (
    "nlp-adapt train [--config RECIPE] [--KEY VALUE ...] [--dry_run | --print_config] [--json] "
    "[--debug]"
)
_TRAINING = ("nlp_adapt.training.trainer", "transformers.modeling_utils", "peft", "sklearn.metrics")
HELP = "train a source-only model and an adapted one, and compare them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe file, and every key of a recipe as a flag."""
    add_recipe_arguments(parser, "results")
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print rows, steps, cost and what the recipe sets; train and write nothing",
    )
    parser.add_argument(
        "--print_config",
        action="store_true",
        help="print every option with its value, as a recipe; read no data",
    )


accept_unknown = take_dotted_flags


def run(args: argparse.Namespace) -> int:
    """Train, then print the table that compares the two models."""
    recipe = read_recipe(args)
    if args.print_config:
        console.show(args, recipe.to_dict(), yaml_text)
        return 0
    if args.dry_run:
        return _dry_run(args, recipe)
    failed_push = None
    with console.stdout_for_results(args.json):
        import_training()
        from nlp_adapt.hub.push import HubError
        from nlp_adapt.reporting.ending import ending
        from nlp_adapt.training.trainer import AdaptationTrainer

        trainer = AdaptationTrainer.from_recipe(recipe)
        trainer.show_results = False  # the command shows them itself, or as JSON
        try:
            results = trainer.train()
        except HubError as error:
            if not trainer.results:
                raise
            results, failed_push = trainer.results, error
    if not is_main_process():
        return 0
    if args.json:
        console.show(args, results, str)
    else:
        console.show_tables(*ending(in_lines(results), in_lines(recipe.output_dir)))
    if failed_push is not None:
        raise failed_push
    return 0


def _dry_run(args: argparse.Namespace, recipe: Recipe) -> int:
    """Print what a run would do, after all the checks that it makes before its first step."""
    with console.stdout_for_results(args.json):
        import_training()
        from nlp_adapt.training.trainer import AdaptationTrainer
        from nlp_adapt.training.trainer_api.preview import preview, preview_lines

        found = preview(AdaptationTrainer.from_recipe(recipe), recipe)
    if is_main_process():
        console.show(args, found, lambda shown: "\n".join(preview_lines(shown)))
    return 0


@cache
def import_training() -> None:
    """Import what training needs, once in a process.

    Every few hundred new objects set off Python's search for cycles of garbage. While modules are
    imported it finds none, and takes a fifth of the time; afterwards it need not look through
    their objects ever again.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        for name in _TRAINING:
            importlib.import_module(name)
        gc.freeze()
    finally:
        if searching:
            gc.enable()
