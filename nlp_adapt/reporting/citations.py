"""The papers behind a run: its method, each of its objectives, and what its card measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_adapt.config import Recipe
from nlp_adapt.errors import AdaptationError

_MEASURES = {
    "estimated accuracy": "Garg et al. 2022, ICLR, arXiv:2201.04234",
    "domain distance": "Ben-David et al. 2007, NeurIPS",
    "information maximisation": "Musgrave et al. 2022, arXiv:2208.07360",
}


def papers(results: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, str]:
    """Papers by what they are cited for.

    Args:
        results: The content of results.json.
        recipe: The resolved recipe; of another version's, the method's paper alone is known.
    """
    from nlp_adapt.methods import METHODS, stages_for
    from nlp_adapt.objectives import objective_class

    found: dict[str, str] = {}
    method = METHODS.get(str(results["method"]))
    if method is not None:
        found[str(results["method"])] = method.paper
    known = {key: value for key, value in recipe.items() if key in Recipe.__dataclass_fields__}
    try:
        for stage in stages_for(Recipe(**known)):
            for name in stage.objectives:
                found.setdefault(name, objective_class(name).paper)
    except (AdaptationError, TypeError):  # a recipe of another version
        pass
    if (results.get("adapted") or {}).get("evidence"):
        found |= _MEASURES
    return {name: paper for name, paper in found.items() if paper}
