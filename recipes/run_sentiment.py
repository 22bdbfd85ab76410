"""Adapt a sentiment classifier to a new domain, step by step.

The same as `nlp-adapt train`, spelled out in Python, to read from top to bottom and to change:

    python recipes/run_sentiment.py --config sentiment/auto
    python recipes/run_sentiment.py --config sentiment/auto --max_steps 50
    python recipes/run_sentiment.py --source reviews.csv --target tweets.jsonl --output_dir runs/mine
"""

from __future__ import annotations

import argparse
import sys

from nlp_adapt import AdaptationError, AdaptationTrainer, Recipe, load_predictor, load_recipe
from nlp_adapt.training.inputs.recipe import read_inputs

EXAMPLES = [
    "just watched it again and i still love every minute :)",
    "worst service ever, two hours on hold and nobody picked up",
]


def main() -> None:
    """Read the recipe, train both models, compare them, and try the one that is exported."""
    recipe = read_recipe()

    # The source has labels. The target may have some too: they are scored against, and that is all.
    # `load_domain("reviews.csv")` reads one without a recipe.
    inputs = read_inputs(recipe)
    for domain in (*inputs.sources, *inputs.targets):
        sizes = ", ".join(f"{len(rows):,} {split}" for split, rows in domain.splits.items())
        print(f"{domain.name}: {sizes}")
        for note in domain.notes:
            print(f"  {note}")

    # Trains a source-only twin first, then the adapted model, with one seed and one schedule.
    trainer = AdaptationTrainer(recipe.model, recipe.adaptation_config(), inputs)
    trainer.show_results = False  # on a terminal alone; here they are printed anywhere
    results = trainer.train()

    # Is the adapted model better than doing nothing?
    print(results)

    # What was saved is a plain Hugging Face model; any program that reads those can use it.
    predictor = load_predictor(recipe.output_dir)
    for text, answer in zip(EXAMPLES, predictor.predict(EXAMPLES), strict=True):
        print(f"{answer['label']:>10}  {answer['score']:.2f}  {text}")


def read_recipe() -> Recipe:
    """The recipe file, with the few keys changed that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="recipes/sentiment/auto.yaml")
    for key in ("model", "source", "target", "output_dir", "method", "max_steps", "seed"):
        parser.add_argument(f"--{key}")
    parser.add_argument("--overwrite", action="store_true", default=None)
    given = {key: value for key, value in vars(parser.parse_args()).items() if value is not None}
    return load_recipe(given.pop("config"), given)


if __name__ == "__main__":
    try:
        main()
    except AdaptationError as error:
        sys.exit(f"error: {error}")
