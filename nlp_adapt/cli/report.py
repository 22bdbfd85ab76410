"""Write the page that shows a finished run: one HTML file, without scripts and without the network.

nlp-adapt report runs/auto
nlp-adapt report runs/auto --examples 10

Every run writes its page, report.html, when it ends; this command writes it again. With --examples
it also shows rows of the target and the words that drove their labels. That is for your eyes alone:
such a page is called report-with-examples.html, and is never pushed.
"""

import argparse
from pathlib import Path
from typing import Any

from nlp_adapt.cli import console
from nlp_adapt.cli.flags import refuse_existing

HELP = "write the page that shows a finished run"
MOST_ROWS = 400  # of the target, among which examples are looked for
MOST_SOURCE = 200
TAGGED_PAGE = "tagged.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nlp-adapt report`."""
    parser.add_argument("run_folder", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", metavar="FILE", help="the page; default: in the run's folder")
    parser.add_argument(
        "--examples", type=int, default=0, metavar="N",
        help="show N rows of each kind: surest errors, rows on which the models differ, nearest to "
        "the source and farthest from it",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the page, then say where it is."""
    from nlp_adapt.errors import ConfigError
    from nlp_adapt.reporting.page import EXAMPLES_PAGE
    from nlp_adapt.reporting.page.build import write_report

    if args.examples < 0:
        raise ConfigError(f"--examples is {args.examples}, but must be 0 or more.")
    if args.out:
        refuse_existing(args.out, args.overwrite)
    folder = Path(args.run_folder)
    out, examples = args.out, ""
    with console.stdout_for_results(args.json):
        if args.examples:
            out = Path(args.out) if args.out else folder / EXAMPLES_PAGE
            examples = _examples(folder, out.parent, args.examples)
        page = write_report(folder, out, examples)
    console.show(args, {"report": str(page)}, lambda shown: f"Wrote {shown['report']}.")
    return 0


def _examples(folder: Path, beside: Path, most: int) -> str:
    """The section of examples, from the run's own data and models."""
    from nlp_adapt.data.domain import shuffled_head
    from nlp_adapt.errors import ModelError
    from nlp_adapt.prediction.likeness import load_likeness
    from nlp_adapt.prediction.opening import load_predictor
    from nlp_adapt.recipe import load_recipe
    from nlp_adapt.reporting.page.examples import sentence_examples
    from nlp_adapt.reporting.page.material import read_material
    from nlp_adapt.training.inputs.recipe import read_inputs
    from nlp_adapt.training.saving.run_folder import RunFolder

    material = read_material(folder)
    recipe = load_recipe(folder / "recipe.yaml")
    inputs = read_inputs(recipe)
    domain = (inputs.targets or inputs.sources)[0].with_labels(material.results["labels"])
    rows = domain.test if domain.test is not None else domain.without_labels()
    rows = shuffled_head(rows, MOST_ROWS, recipe.seed)
    run = RunFolder(folder)
    places = {"source_only": run.source_only, "adapted": run.adapted_model}
    predictors = {
        model.title: load_predictor(places[model.key])
        for model in material.models
        if places[model.key].is_dir()
    }
    if domain.text_column == "tokens":
        return _tagged(rows, predictors, material.results["labels"], most, beside)
    names, labelled = domain.label_names or (), domain.label_column in rows.column_names
    truths: list[Any] = [None] * len(rows)
    if labelled:
        truths = [names[index] if index >= 0 else None for index in rows[domain.label_column][:]]
    source = shuffled_head(inputs.sources[0].without_labels(), MOST_SOURCE, recipe.seed)
    try:
        likeness = load_likeness(str(folder))
    except ModelError:
        likeness = None
    return sentence_examples(rows["text"][:], truths, predictors, source["text"][:], likeness, most)


def _tagged(
    rows: Any, predictors: dict[str, Any], labels: list[str], most: int, beside: Path
) -> str:
    """Sentences with their entities, and a page of all of them beside the report."""
    from nlp_adapt.files import write_text
    from nlp_adapt.names import OUTSIDE
    from nlp_adapt.prediction.files.tagged_writers import PAGE_END, page_head, page_hues, page_item
    from nlp_adapt.prediction.tagged_text import join_words, tag_words, with_tags
    from nlp_adapt.reporting.page.examples import tagged_examples

    sentences = rows["tokens"][:]
    tagged = {title: tag_words(one, sentences) for title, one in predictors.items()}
    truths = None
    if "labels" in rows.column_names:
        names = rows.features["labels"].feature.names
        tags = [
            [(names[index] if index >= 0 else OUTSIDE, 1.0) for index in own]
            for own in rows["labels"][:]
        ]
        truths = with_tags([join_words(words) for words in sentences], tags)
    found = [one.to_dict() for one in list(tagged.values())[-1]]
    hues = page_hues({label[2:] for label in labels if label != OUTSIDE})
    counts = dict.fromkeys(hues, 0)
    for one in found:
        for entity in one["entities"]:
            counts[entity["type"]] += 1
    items = "".join(page_item(one["text"], one["entities"], hues) for one in found)
    page = f"{page_head(counts, len(found), hues)}{items}{PAGE_END}"
    write_text(beside / TAGGED_PAGE, page)
    return tagged_examples(tagged, truths, labels, most, TAGGED_PAGE)
