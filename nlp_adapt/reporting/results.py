"""What results.json says of a run, under the names that reports use."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from nlp_adapt.data.labels import LabelMap
from nlp_adapt.errors import RunError
from nlp_adapt.files import Manifest
from nlp_adapt.names import OUTSIDE, TOKEN_CLASSIFICATION, counted
from nlp_adapt.tasks import TASKS
from nlp_adapt.tasks.base import Measure
from nlp_adapt.yaml_text import read_yaml

Results: TypeAlias = Mapping[str, Any]

MISSING = "-"
SIDES = ("source", "target")
SOURCE_ONLY = "source-only"
MOST_CLASSES = 5  # whose shares a sentence lists


# What code meets in values of another type or size than it has written.
_MISFITS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, StopIteration)
_LONGEST = 200


@contextlib.contextmanager
def as_written(*runs: str | Path) -> Iterator[None]:
    """Inside, values that no run writes into the files of `runs` are a RunError about them.

    A checksum tells a file that was damaged; a hostile one brings its own.
    """
    try:
        yield
    except _MISFITS as error:
        said = f"{type(error).__name__}: {error}"[:_LONGEST]
        raise RunError(
            f"{', '.join(map(str, runs))}: results.json or another file of the run holds what no run "
            f"writes ({said}); restore it, or train again. If nobody has changed it, report this with "
            "what --debug shows."
        ) from error


def read_results(run: Path) -> dict[str, Any]:
    """The results of a finished run, as it has written them."""
    path, manifest = run / "results.json", Manifest(run)
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        written_before_manifests = results.get("format", 1) == 1 and "adapted" in results
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{run}: has no readable results.json; train there first.") from error
    if problems := [] if written_before_manifests else manifest.problems(path):
        raise RunError(f"{problems[0]} Resume the run to write it anew.")
    return results


def read_recipe(run: Path) -> dict[str, Any]:
    """What the run's recipe.yaml says; empty where there is none."""
    path = run / "recipe.yaml"
    return read_yaml(path) if path.is_file() else {}


def read_log(run: Path, model: str | None = None) -> list[dict[str, Any]]:
    """The lines of the run's log.jsonl that can be read; with `model`, those of this one."""
    log, found = run / "log.jsonl", []
    for text in log.read_text(encoding="utf-8").splitlines() if log.is_file() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and model in (None, line.get("model")):
            found.append(line)
    return found


def placed(lines: Sequence[Mapping[str, Any]], model: str) -> list[dict[str, Any]]:
    """The lines of a model of the run, with `at`, the steps since the first of its stages."""
    own = [line for line in lines if line.get("model") == model]
    ends: dict[int, int] = {}
    for line in own:
        stage = line.get("stage", 1)
        ends[stage] = max(ends.get(stage, 0), line.get("step", 0))
    before = {stage: sum(ends[one] for one in ends if one < stage) for stage in ends}
    return [{**line, "at": before[line.get("stage", 1)] + line.get("step", 0)} for line in own]


def label_map_of(model: str | Path) -> LabelMap | None:
    """The label map of the run that a run folder, or a model folder in it, belongs to, if any.

    It is no fault of other data that a key names nothing there.
    """
    folder = Path(model)
    runs = [folder]
    runs += [folder.parent] if folder.name == "model" else []
    runs += [folder.parent.parent] if folder.parts[-2:] == ("source_only", "model") else []
    found = next((own for run in runs if (own := read_recipe(run).get("label_map"))), None)
    return LabelMap(found) if found else None


def part(values: Results, *keys: str) -> Results:
    """What stands below `keys`; empty where anything on the way is missing or null."""
    for key in keys:
        values = values.get(key) or {}
    return values


def percent(value: float | None) -> str:
    """A share in per cent, with one decimal."""
    return MISSING if value is None else f"{100 * value:.1f}"


def main_measure(results: Results) -> Measure:
    """The number that decides."""
    return TASKS[results["task"]].main_measure()


def few_shot_rows(results: Results) -> int:
    """How many labelled rows of the target the adapted model was trained on."""
    return int(part(results, "target_labels").get("rows", 0))


def is_source_only(results: Results) -> bool:
    """Whether the run's method is no adaptation at all."""
    name = str(results["method"]).replace("-", "_")
    beside = (results.get("augmentation"), few_shot_rows(results), results.get("auxiliary"))
    return name == "source_only" and not any(beside)


def method_title(results: Results) -> str:
    """What a reader calls the adapted model: its method, edit, few-shot rows and auxiliary tasks."""
    if is_source_only(results):
        return SOURCE_ONLY
    beside = [
        part(results, "augmentation").get("edit"),
        "few-shot" if few_shot_rows(results) else None,
        *part(results, "auxiliary"),
    ]
    return " + ".join([str(results["method"]), *filter(None, beside)])


def model_scores(results: Results) -> dict[str, Results]:
    """The scores of each model of the run by the name that a reader sees."""
    models = {SOURCE_ONLY: results.get("source_only")}
    models |= {method_title(results): results["adapted"]} if results.get("adapted") else {}
    return {name: scores for name, scores in models.items() if scores}


def falls_back(results: Results) -> bool:
    """Whether the weights that the run exports are those of its source-only twin."""
    return results.get("exported") == "source_only"


def exported_scores(results: Results) -> Results:
    """The scores of the model that the run exports."""
    return part(results, "source_only" if falls_back(results) else "adapted")


def what_was_not_learnt(results: Results) -> list[str]:
    """A sentence for each model and domain whose rows all get one answer, and for its training."""
    said = []
    for key, model in (("source_only", "The source-only model"), ("adapted", "The adapted model")):
        if key == "adapted" and is_source_only(results):
            model = "The model"
        where: dict[str, list[str]] = {}
        for side in SIDES:
            name = part(results, side).get("name", f"the {side}")
            for answer in one_answer(results, key, side, name):
                what, _, rows = answer.partition(" in the ")
                where.setdefault(what, []).append(rows)
        said += [f"{model} {what} in the {' and the '.join(own)}." for what, own in where.items()]
        said += [f"{model}: {remark}" for remark in part(results, key).get("remarks", ())]
    if one_answer(results, "source_only", "source", ""):
        said.append(
            "A source-only model that has not learnt its own domain is nothing to compare with: train "
            "longer, or with another learning_rate."
        )
    return said


def one_answer(results: Results, model: str, side: str, name: str) -> list[str]:
    """What a model says of every test row of a domain, or of each of several, if it is the same.

    Where the target has no labels, a sample of its texts tells.
    """
    scores = part(results, model, side)
    if domains := scores.get("domains"):
        pairs = [(_answer(results, own), own_name) for own_name, own in domains.items()]
        return [f"{what} in the test rows of {of}" for what, of in pairs if what]
    if scores:
        what = _answer(results, scores)
        return [f"{what} in the test rows of {name}"] if what else []
    shares = part(results, model, "evidence", "predicted") if side == "target" else {}
    only = next((label for label, share in shares.items() if share == 1.0), None)
    if only is None:
        return []
    tags = results["task"] == TOKEN_CLASSIFICATION
    what = "finds no entity" if tags and only == OUTSIDE else f"predicts nothing but {only}"
    return [f"{what} in the text of {name}"]


def _answer(results: Results, scores: Results) -> str:
    if results["task"] == TOKEN_CLASSIFICATION:
        found = [count for kind, count in part(scores, "errors").items() if kind != "missed"]
        return "finds no entity" if scores.get("support") and found and not any(found) else ""
    matrix = scores.get("confusion_matrix") or []
    predicted = [sum(column) for column in zip(*matrix, strict=True)]
    if sum(map(bool, predicted)) != 1 or sum(any(row) for row in matrix) < 2:
        return ""
    label = scores["label_names"][next(i for i, count in enumerate(predicted) if count)]
    return f"predicts nothing but {label}"


def share_sentences(results: Results) -> list[str]:
    """How frequent the target's classes are: as was told, or as is estimated, which nothing acts on."""
    scores = exported_scores(results)
    shares, predicted = part(scores, "class_shares"), part(scores, "evidence", "predicted")
    if told := shares.get("told") or shares.get("from_labels"):
        before = _percent(shares["predicted_before"])
        whose = "the told class shares"
        if "labels" in shares:
            whose = f"class shares estimated from {counted(shares['labels'], 'label')}"
        return [f"Decisions keep to {whose} ({_percent(told)} %; before: {before})."]
    if kept := shares.get("kept"):
        both = [kept, shares["predicted_before"]]
        if results["task"] == TOKEN_CLASSIFICATION:
            both = [{"words in entities": 1 - own[OUTSIDE]} for own in both]
        said = (
            ""
            if len(both[0]) > MOST_CLASSES
            else " ({} %; before: {})".format(*map(_percent, both))
        )
        whose = "teacher" if shares.get("kept_as") == "teacher" else "source-only model"
        return [f"Class shares of the target are kept as the {whose} has them{said}."]
    estimates = part(shares, "estimated")
    if not estimates or len(predicted) > MOST_CLASSES:
        return []
    said = ", ".join(f"{name.upper()} estimates {_percent(own)}" for name, own in estimates.items())
    return [
        f"Class shares of the target, %: predicted {_percent(predicted)}; {said}. Nothing acts on these; "
        "if you know them, set target_class_shares."
    ]


def _percent(shares: Results) -> str:
    return ", ".join(f"{name} {100 * share:.0f}" for name, share in shares.items())


def one_seed(results: Results) -> str:
    """What is to be said where no spread over seeds is known."""
    return f"One run with seed {results['seed']}; other seeds give other numbers."
