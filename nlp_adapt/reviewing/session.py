"""A review from the draw to the verdict: `nlp-adapt review` and `nlp_adapt.review`."""

from pathlib import Path
from typing import Any

from nlp_adapt.data.reading.files import read_file
from nlp_adapt.errors import AdaptationError, ConfigError, RunError
from nlp_adapt.files import write_json, write_text
from nlp_adapt.names import SEQUENCE_CLASSIFICATION
from nlp_adapt.prediction.files.writing import json_line
from nlp_adapt.prediction.likeness import STATISTICS, domain_samples, measure_domains
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.recipe import load_recipe
from nlp_adapt.reporting.card import write_card
from nlp_adapt.reporting.page.build import report_run
from nlp_adapt.reporting.results import as_written, is_source_only, read_results
from nlp_adapt.reviewing.answers import ANSWER, read_answers
from nlp_adapt.reviewing.items import draw
from nlp_adapt.reviewing.page import write_page
from nlp_adapt.reviewing.population import survey
from nlp_adapt.reviewing.state import Review, load, models_hash
from nlp_adapt.reviewing.verdict import ADAPTED, LEVEL, UNDECIDED, conclude, labelled_rows
from nlp_adapt.reviewing.writing import TOOLS, write_csv, write_tool
from nlp_adapt.training.inputs.recipe import read_inputs
from nlp_adapt.training.saving.run_folder import RunFolder

ROWS, AGREEING, POOL = 40, 10, 5000
LABELS_FILE = "review_labels.jsonl"


def review(
    run: str | Path,
    labels: str | Path | None = None,
    *,
    rows: int = ROWS,
    agreeing: int = AGREEING,
    data: str | None = None,
    test_rows: bool = False,
    pool: int = POOL,
    seed: int = 42,
    anew: bool = False,
    tool: str | None = None,
    out: str | Path | None = None,
    level: float = LEVEL,
    switch_export: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Ask a person about rows on which a run's two models differ, or conclude from the answers.

    Without `labels` it writes `review.csv` and `review.html`; called again, with the rows that wait
    for an answer and new ones up to `rows`. With `labels` it reads answers and says which model is
    better on the target; the verdict goes into results.json and the model card, and texts whose
    label is now known into `review_labels.jsonl`, which a later run takes as `target_few_shot`.

    Args:
        run: Folder of a finished run that has both models.
        labels: File with answers: the csv, what the page saved, or a labelling tool's export.
        rows: How many rows wait for an answer on which the models differ (stretches, for taggers).
        agreeing: Likewise on which they agree, which tell the accuracy itself.
        data: Other texts of the target than those that the run trained on, such as newer ones.
        test_rows: Draw also from the target's test rows, which the run's scores come from.
        pool: How many texts both models read at most.
        anew: Begin a new review, and forget the answers of the one before.
        tool: Also write what "doccano", "label-studio" or "argilla" imports.
        out: Folder for the files; default: that of the run.
        level: Of the intervals.
        switch_export: Let the better model be the one that the run exports.
        options: As for `load_predictor`, such as `batch_size` and `device`.

    Returns:
        Without `labels`, `files` and what was drawn; with them, what `conclude` returns.

    Raises:
        RunError: If the run is not finished or lacks a model, or the review's state is damaged.
        DataError: If there is nothing to ask, or the answers cannot be read.
    """
    if tool is not None and tool not in TOOLS:
        raise ConfigError(f"tool {tool!r} is unknown: choose {', '.join(TOOLS)}.")
    if not 0.5 <= level < 1:
        raise ConfigError(f"level is {level}: give a number from 0.5 to below 1.")
    folder = RunFolder(run)
    results = _results_of_two(folder)
    with folder.lock():
        if labels is not None:
            return _conclude(folder, results, Path(labels), level, switch_export)
        place = Path(out) if out is not None else folder.path
        known = None if anew else load(folder)
        _refuse_unread(place / "review.csv", known)
        source = {"data": data, "test_rows": test_rows, "pool": pool}
        return _write(_ask(folder, known, rows, agreeing, seed, source, options), place, tool)


def _results_of_two(folder: RunFolder) -> dict[str, Any]:
    """The results of a run that has two models to compare."""
    results = read_results(folder.path)
    with as_written(folder.path):
        alone = is_source_only(results) or not results.get("source_only")
    if alone:
        raise RunError(
            f"{folder.path}: has no two models to compare: review a run that adapts, trained with "
            "compare_source_only."
        )
    return results


def _ask(
    folder: RunFolder,
    known: Review | None,
    rows: int,
    agreeing: int,
    seed: int,
    source: dict[str, Any],
    options: dict[str, Any],
) -> Review:
    """The review with as many items that wait for an answer as are wanted."""
    waiting = known.unanswered if known else []
    differing = rows - sum(item.unit.differ for item in waiting)
    agreeing -= sum(not item.unit.differ for item in waiting)
    if known is not None:
        with as_written(folder.path):
            seed, source = known.seed, _same_source(known, source)
        if differing <= 0 and agreeing <= 0:
            return known
    most = source["pool"]
    found = survey(
        folder, source["data"], test_rows=source["test_rows"], most=most, seed=seed, **options
    )
    if not found.differing:
        raise RunError(
            f"{folder.path}: both models say the same of all {found.texts:,} texts of {found.name}, "
            "so neither is better there."
        )
    state = known or Review(
        models_hash(folder), found.task, found.labels, seed, {**found.to_dict(), **source}
    )
    if state.population["texts"] != found.texts:
        raise RunError(
            f"{folder.path}: the texts of {found.name} are others than when the review began; "
            "restore them, or begin a new review with --anew."
        )
    items = draw(
        found.units,
        list(state.items.values()),
        differing=differing,
        agreeing=agreeing,
        labels=() if found.is_tagged else found.labels,
        seed=seed,
        salt=state.models,
    )
    if not items and not waiting:
        raise RunError(f"{folder.path}: every row on which the models differ was asked already.")
    state.items |= {item.id: item for item in items}
    state.save(folder)
    return state


def _same_source(known: Review, source: dict[str, Any]) -> dict[str, Any]:
    """Where the items of the review come from; anything else that was named is refused."""
    kept = {name: known.population[name] for name in source}
    for name, default in (("data", None), ("test_rows", False), ("pool", POOL)):
        if source[name] not in (default, kept[name]):
            raise RunError(
                f"the review began with {name} {kept[name]}, and goes on with it: leave {name} out, "
                "or begin a new review with --anew."
            )
    return kept


def _refuse_unread(path: Path, known: Review | None) -> None:
    """Refuse to write over answers that were typed into a csv and not read yet."""
    if not path.exists():
        return
    try:
        table = read_file(path, SEQUENCE_CLASSIFICATION)
        names, said = table.columns["id"], table.columns[ANSWER]
    except (AdaptationError, KeyError):
        return
    read = known.answers if known else {}
    unread = sum(
        bool(str(one or "").strip()) and name not in read
        for name, one in zip(names, said, strict=True)
    )
    if unread:
        raise RunError(
            f"{path}: holds {unread} answers that were not read yet: read them with --labels {path}, "
            "or move the file away."
        )


def _write(state: Review, place: Path, tool: str | None) -> dict[str, Any]:
    items = state.unanswered
    written = [place / "review.csv", place / "review.html"]
    write_csv(written[0], items)
    write_page(written[1], state, items)
    if tool is not None:
        written += write_tool(place, tool, state, items)
    asked = sum(item.unit.differ for item in items)
    return {
        "files": [str(path) for path in written],
        "rows": asked,
        "agreeing": len(items) - asked,
        "answered": len(state.answers),
        **{key: state.population[key] for key in ("name", "texts", "units", "differing")},
    }


def _conclude(
    folder: RunFolder, results: dict[str, Any], labels: Path, level: float, switch: bool
) -> dict[str, Any]:
    state = load(folder)
    if state is None:
        raise RunError(
            f"{folder.path}: no review was begun; draw rows with `nlp-adapt review {folder.path}`."
        )
    answers = read_answers(labels, state)
    with as_written(folder.path):
        state.take(answers)
        verdict = conclude(state, level)
        before = results.get("review") or {}
        if "exported" in before:
            verdict["exported"] = before["exported"]
    state.save(folder)
    results["review"] = verdict
    switched = switch and verdict["verdict"] != UNDECIDED and _switch(folder, results)
    write_json(folder.results, results)
    folder.manifest.seal(folder.results)
    write_card(folder.path)
    report_run(folder.path)
    if switched:
        _measure_domains(folder)
    known = labelled_rows(state)
    if known:
        path = folder.path / LABELS_FILE
        write_text(path, b"".join(map(json_line, known)).decode())
    apart = verdict["verdict"] not in (UNDECIDED, results.get("exported", ADAPTED))
    said = {"read": len(answers), "labels": str(path) if known else None}
    return {**verdict, **said, "better_is_kept_apart": apart}


def _switch(folder: RunFolder, results: dict[str, Any]) -> bool:
    """Make the better model the one that the run exports; whether it was the other one."""
    chosen = results["review"]["verdict"]
    results["review"]["exported"] = chosen
    if results.get("exported", ADAPTED) == chosen:
        return False
    (folder.export_adapted if chosen == ADAPTED else folder.export_twin)()
    results["exported"] = chosen
    return True


def _measure_domains(folder: RunFolder) -> None:
    """Write anew where the texts of both domains lie, in the features of the exported model."""
    from nlp_adapt.training.trainer import AdaptationTrainer

    path, recipe = folder.adaptation / STATISTICS, load_recipe(folder.recipe)
    if not path.exists():
        return
    path.unlink()
    folder.manifest.seal(path)  # those of the other model are gone, whatever comes now
    if recipe.source or recipe.sources:
        inputs = read_inputs(recipe)
        trainer = AdaptationTrainer(recipe.model, recipe.adaptation_config(), inputs)
        samples = domain_samples(trainer.context.data.train, recipe.seed)
        if likeness := measure_domains(load_predictor(folder.path), samples):
            likeness.save(path)
            folder.manifest.seal(path)
