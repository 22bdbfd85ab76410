"""Pictures for papers and model cards, as PNG or PDF, where the extra `plots` is installed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlp_adapt.metrics.classification import comparable
from nlp_adapt.reporting.comparison import half_width
from nlp_adapt.reporting.page.domains import class_kinds, kind_names
from nlp_adapt.reporting.page.material import Material, read_material
from nlp_adapt.reporting.results import SIDES, main_measure, part

SCORES, DOMAINS = "scores.png", "domains.png"
# Of the page, which is told apart by colour-blind eyes as well.
MODELS = {"m0": "#7a8593", "m1": "#0b7a83"}
CLASSES = {
    **{"c0": "#0b6cb0", "c1": "#d5680a", "c2": "#15906c", "c3": "#b5589a"},
    **{"c4": "#b98a00", "c5": "#3f9fd8", "c6": "#8a6a3d", "none": "#8a94a0"},
}
DOTS = 160  # an inch


def write_pictures(run: Path, folder: Path) -> dict[str, str]:
    """Draw a run's scores and domains into a folder.

    Returns:
        What each picture shows, by its file.
    """
    material, found = read_material(run), {}
    folder.mkdir(parents=True, exist_ok=True)
    if draw_scores(material, folder / SCORES):
        measure = main_measure(material.results).title
        found[SCORES] = f"{measure} of the models on both domains, with 95 % intervals"
    if draw_domains(material, folder / DOMAINS):
        found[DOMAINS] = "Both domains in the models' features, on two principal components"
    return found


def draw_scores(material: Material, path: Path) -> bool:
    """Both models on both domains with 95 % intervals; False where nothing was measured."""
    key = main_measure(material.results).key
    rows = [
        (f"{side}: {model.title}", own, MODELS[model.kind])
        for side in SIDES
        for model in material.models
        if (own := part(model.scores, side))
    ]
    if not rows:
        return False
    figure, (axes,) = _figure(1, width=6.4, height=0.45 * len(rows) + 0.9)
    for place, (_, own, colour) in enumerate(rows):
        half = 100 * (half_width(own) or 0.0)
        value = 100 * comparable(own, key)
        ends = [[min(half, value)], [min(half, 100 - value)]]
        axes.errorbar(value, -place, xerr=ends, fmt="o", color=colour, capsize=0, elinewidth=2)
    axes.set_yticks([-place for place in range(len(rows))], [_plain(name) for name, *_ in rows])
    axes.set_xlabel(f"{main_measure(material.results).title}, %, with 95 % intervals")
    axes.grid(axis="x", color="#e4e6e9")
    axes.margins(y=0.12)
    return _save(figure, path)


def draw_domains(material: Material, path: Path) -> bool:
    """Both domains in the plane for each model; False where no points were saved."""
    drawn = [
        (model, points)
        for model in material.models
        if (points := part(material.plots, model.key).get("points"))
    ]
    if not drawn:
        return False
    labels = material.results["labels"]
    kinds = class_kinds(labels)
    figure, every = _figure(len(drawn), width=4.4 * len(drawn), height=3.8)
    for axes, (model, points) in zip(every, drawn, strict=True):
        for side, mark in (("source", "o"), ("target", "x")):
            own: Mapping[str, Any] = points[side]
            classes = [
                truth if truth >= 0 else said
                for truth, said in zip(own["truth"], own["predicted"], strict=True)
            ]
            colours = [CLASSES[kinds[labels[one]]] for one in classes]
            axes.scatter(own["x"], own["y"], c=colours, marker=mark, s=16, alpha=0.75, linewidths=1)
        axes.set_title(_plain(model.title), fontsize=10, loc="left")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set(color="#c9ced4", visible=True)
    marks = [("o", "black", "source"), ("x", "black", "target")]
    marks += [("s", CLASSES[kind], name) for kind, name in kind_names(kinds).items()]
    figure.legend(
        handles=[_mark(*one) for one in marks], loc="outside lower left", ncols=len(marks),
        frameon=False, fontsize=8,
    )  # fmt: skip
    return _save(figure, path)


def _mark(marker: str, colour: str, name: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, linestyle="", label=_plain(name), ms=5)


def _figure(count: int, *, width: float, height: float) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure  # without pyplot, which keeps figures and opens windows

    figure = Figure(figsize=(width, height), layout="constrained")
    every = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, every


def _plain(name: str) -> str:
    """A name in which matplotlib finds no formula."""
    return name.replace("$", r"\$")


def _save(figure: Any, path: Path) -> bool:
    figure.savefig(path, dpi=DOTS, metadata={"Software": None} if path.suffix == ".png" else {})
    return True
