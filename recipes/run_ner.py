"""Adapt a named-entity tagger to a new domain, step by step.

The same as `nlp-adapt train`, spelled out in Python, to read from top to bottom and to change:

    python recipes/run_ner.py recipes/ner/quickstart.yaml
    python recipes/run_ner.py recipes/ner/auto.yaml --max_steps 50
    python recipes/run_ner.py recipes/ner/auto.yaml --source news.conll --target tweets.txt
"""

from __future__ import annotations

import argparse
import sys

from nlp_adapt import (
    AdaptationError,
    AdaptationTrainer,
    Recipe,
    load_predictor,
    load_recipe,
    tag_texts,
)
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.data.label_spaces import label_counts
from nlp_adapt.training.inputs.recipe import read_inputs

EXAMPLES = [
    "Angela Merkel met the board of Siemens in Munich on Tuesday.",
    "just saw @joe at the apple store in nyc, Tim Cook was there too!!",
]


def main() -> None:
    """Read the recipe, train both models, compare them, and try the one that is exported."""
    recipe = read_recipe()

    # The source has tags. The target may have some too: they are scored against, and that is all.
    # Both are words with BIO2 tags by now, whatever the files hold.
    inputs = read_inputs(recipe)
    for domain in (*inputs.sources, *inputs.targets):
        sizes = ", ".join(f"{len(rows):,} {split}" for split, rows in domain.splits.items())
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in label_counts(domain).items())
        print(f"{domain.name}: {sizes} sentences; {kinds or 'no tags'}")
        for note in domain.notes:
            print(f"  {note}")

    # Trains a source-only twin first, then the adapted model, with one seed and one schedule.
    trainer = AdaptationTrainer(recipe.model, recipe.adaptation_config(), inputs)
    trainer.show_results = False  # on a terminal alone; here they are printed anywhere
    results = trainer.train()

    # Is the adapted model better than doing nothing? An entity counts where its boundaries and its
    # type are both right.
    print(results)

    # What was saved is a plain Hugging Face model; any program that reads those can use it.
    predictor = load_predictor(recipe.output_dir)
    for tagged in tag_texts(predictor, EXAMPLES):
        print(tagged.text)
        for entity in tagged.entities:
            surface = tagged.text[entity.start : entity.end]
            print(f"{entity.type:>8}  {entity.score:.2f}  {surface}")


def read_recipe() -> Recipe:
    """The recipe file, with the few keys changed that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default="recipes/ner/auto.yaml")
    for key in ("model", "source", "target", "output_dir", "method", "max_steps", "seed"):
        parser.add_argument(f"--{key}")
    parser.add_argument("--overwrite", action="store_true", default=None)
    given = {key: value for key, value in vars(parser.parse_args()).items() if value is not None}
    return load_recipe(given.pop("config"), {"task": "token-classification", **given})


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except AdaptationError as error:
        sys.exit(f"error: {error}")
