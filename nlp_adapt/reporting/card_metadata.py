"""The metadata of a model card, through the Hub's own classes, and the papers that it cites."""

import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from nlp_adapt.errors import AdaptationError
from nlp_adapt.escaping import one_line, redact
from nlp_adapt.recipe import Recipe
from nlp_adapt.reporting.results import Results, exported_scores, part
from nlp_adapt.tasks import TASKS

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_FILE = re.compile(r"\.(csv|tsv|jsonl?|parquet|txt|conll|bio|iob|arrow|gz)\b", re.IGNORECASE)
_PYTHON_OBJECTS = {
    "list",
    "tuple",
    "dict",
    "Dataset",
    "DatasetDict",
    "IterableDataset",
    "DataFrame",
    "Domain",
}

_MEASURES = {
    "estimated accuracy": "Garg et al. 2022, ICLR, arXiv:2201.04234",
    "domain distance": "Ben-David et al. 2007, NeurIPS",
    "information maximisation": "Musgrave et al. 2022, arXiv:2208.07360",
}


def metadata(results: Results, recipe: Mapping[str, Any], adapters: bool = False) -> str:
    """The YAML block of the card, without its fences."""
    from huggingface_hub import ModelCardData

    model = str(results["model"])
    method = re.sub(r"[^a-z0-9]+", "-", str(results["method"]).lower()).strip("-")[:40]
    scores = _eval_results(results)
    on_hub, relation = looks_like_hub_id(model), "adapter" if adapters else "finetune"
    texts = recipe.get("hub_widget") or []
    more: dict[str, Any] = {"base_model_relation": relation} if on_hub else {}
    if texts:
        more["widget"] = [{"text": one_line(text)} for text in texts]
    data = ModelCardData(
        library_name="peft" if adapters else "transformers",
        pipeline_tag=TASKS[results["task"]].pipeline_tag,
        base_model=model if on_hub else None,
        **more,
        datasets=hub_datasets(results) or None,
        language=recipe.get("hub_language") or None,
        license=recipe.get("hub_license") or None,
        tags=list(dict.fromkeys(tag for tag in ("domain-adaptation", "nlp-adapt", method) if tag)),
        metrics=list(dict.fromkeys(result.metric_type for result in scores)) or None,
        model_name="adapted model" if scores else None,
        eval_results=scores or None,
    )
    return redact(data.to_yaml())


def looks_like_hub_id(name: str) -> bool:
    """Whether `name` may be a Hub id: `model` or `owner/model`, and no folder of that name."""
    return bool(_HUB_ID.fullmatch(name)) and ".." not in name and not Path(name).exists()


def project_url() -> str:
    """Where the project lives, as its package says; empty where it does not."""
    try:
        urls = importlib.metadata.metadata("nlp-adapt").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    return next((one.partition(", ")[2] for one in urls), "")


def hub_datasets(results: Results) -> list[str]:
    """The Hub data sets among the domains of a run: files and built-in domains have no id."""
    found = []
    for side in ("source", "target"):
        for reference in str(part(results, side).get("reference", "")).split(", "):
            name = "/".join(reference.partition(":")[0].split("/")[:2])
            local = name in _PYTHON_OBJECTS or Path(name.partition("/")[0]).exists()
            if name != "builtin" and not local and not _FILE.search(reference):
                found += [name] if looks_like_hub_id(name) else []
    return list(dict.fromkeys(found))


def papers(results: Results, recipe: Mapping[str, Any]) -> dict[str, str]:
    """Papers by what they are cited for; of another version's recipe, the method's paper alone."""
    from nlp_adapt.methods import METHODS, stages_for
    from nlp_adapt.objectives import OBJECTIVES, about

    found: dict[str, str] = {}
    method = str(results["method"])
    if method in METHODS:
        found[method] = about(method)[1]
    known = {key: value for key, value in recipe.items() if key in Recipe.__dataclass_fields__}
    try:
        for stage in stages_for(Recipe(**known)):
            for name in stage.objectives:
                if name in OBJECTIVES:  # one of the user's own is not imported for its paper
                    found.setdefault(name, OBJECTIVES[name].paper)
    except (AdaptationError, TypeError):  # a recipe of another version
        pass
    if part(results, "adapted").get("evidence"):
        found |= _MEASURES
    return {name: paper for name, paper in found.items() if paper}


@cache
def references() -> dict[str, str]:
    """Entries of `references.bib` by what methods call them, the comment above each."""
    text = files(__package__).joinpath("references.bib").read_text(encoding="utf-8")
    found = (block.partition("\n") for block in text.strip().split("\n\n"))
    return {name.removeprefix("% "): entry for name, _, entry in found}


def bibtex(cited: Iterable[str]) -> str:
    """Entries of the papers, each as a method cites one or several, parted by `; `."""
    names = dict.fromkeys(name for text in cited for name in text.split("; "))
    return "\n\n".join(references()[name] for name in names if name in references())


def _eval_results(results: Results) -> list[Any]:
    from huggingface_hub import EvalResult

    task = TASKS[results["task"]]
    found = []
    for domain in ("target", "source"):
        scores = part(exported_scores(results), domain)
        name = one_line(part(results, domain).get("name", domain))
        found += [
            EvalResult(
                task_type=task.pipeline_tag,
                dataset_type=re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.") or domain,
                dataset_name=f"{name} ({domain} domain)",
                dataset_split="test",
                metric_type=measure.hub_name,
                metric_name=measure.hub_title,
                metric_value=round(float(scores[measure.key]), 4),
            )
            for measure in task.measures
            if measure.key in scores
        ]
    return found
