"""How both models learned: every curve over the same steps."""

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_adapt.reporting.page.curves import Frame, Series, lines
from nlp_adapt.reporting.page.html import figure, grid, legend, section
from nlp_adapt.reporting.page.material import Material, Model
from nlp_adapt.reporting.page.svg import shown
from nlp_adapt.reporting.results import main_measure, part, percent, placed

Lines = Sequence[Mapping[str, Any]]
TERM_KINDS = ("c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7")
# What is no term of the loss though it has a plain name.
NO_TERMS = (
    *("model", "stage", "step", "loss", "learning_rate", "epoch", "grad_norm", "skipped"),
    *("tokens_per_second", "padding", "seconds_left", "data_seconds", "fit", "non_finite"),
    *("terms", "rows", "label_free", "estimated_accuracy", "source_risk"),
    "information_maximisation",
)


def curve(own: Lines, key: str) -> list[tuple[float, float]]:
    """A number of the lines over steps."""
    return [(line["at"], line[key]) for line in own if isinstance(line.get(key), (int, float))]


def learning(material: Material) -> str:
    """Losses, validation, signs, adversary and schedule."""
    models = material.models
    own = {model.key: placed(material.lines, model.key) for model in models}
    last = max((line["at"] for one in own.values() for line in one), default=0)
    if not last:
        return ""
    frame = Frame(last, _borders(own[models[-1].key]))
    chosen = {model.key: _chosen(material, model) for model in models}

    def shared(key: str, title: str, note: str, kept: bool = False, **options: Any) -> str:
        series = [
            Series(
                model.title, curve(own[model.key], key), model.kind,
                chosen[model.key] if kept else None,
            )
            for model in models
        ]  # fmt: skip
        series = [one for one in series if one.points]
        return figure(title, lines(series, frame, title, **options), note) if series else ""

    measure = main_measure(material.results)
    shares: dict[str, Any] = {"written": percent, "limits": (0.0, 1.0), "kept": True}
    adapted = models[-1]
    pictures = [
        shared("loss", "Training loss", "all terms together"),
        _terms(own[adapted.key], frame, adapted),
        *_adversaries(material, own[adapted.key], frame, adapted),
        shared(
            f"source_validation/{measure.key}", f"Held-out source: {measure.title}", "%", **shares
        ),
        shared(
            "label_free", "Score without target labels", "at most 1", kept=True, limits=(0.0, 1.0)
        ),
        shared("estimated_accuracy", "Estimated accuracy on the target", "%", **shares),
        shared("learning_rate", "Learning rate", "of the encoder", limits=(0.0, None)),
        shared("grad_norm", "Gradient norm", "before clipping, mean of the steps between lines"),
    ]  # fmt: skip
    key = legend((model.kind, "line", model.title) for model in models)
    if any(value is not None for value in chosen.values()):
        key += legend([("none", "ring", "checkpoint that was kept")])
    lead = "Both models on one axis of steps."
    if len(frame.borders):
        lead += " Dotted lines are borders of stages."
    return section(
        "learning", "Learning", lead, f'<div class="key legend">{key}</div>', grid(*pictures)
    )


def _borders(own: Lines) -> list[tuple[int, str]]:
    """Where each stage but the first one begins."""
    ends: dict[int, int] = {}
    for line in own:
        stage = line.get("stage", 1)
        ends[stage] = max(ends.get(stage, 0), line["at"])
    return [(end, f"stage {stage + 1}") for stage, end in sorted(ends.items())][:-1]


def _chosen(material: Material, model: Model) -> float | None:
    """The step whose weights were kept, counted from the model's own first step."""
    best = model.scores.get("best")
    if not best:
        return None
    # Checkpoints count the steps of the whole run, in which the source-only model comes first.
    twin = part(material.results, "source_only").get("steps", 0) if model.key == "adapted" else 0
    return best["step"] - twin


def _terms(own: Lines, frame: Frame, model: Model) -> str:
    """The terms of the adapted model's loss."""
    names = [
        key
        for key in dict.fromkeys(key for line in own for key in line)
        if "/" not in key and key not in (*NO_TERMS, "at")
    ]
    series = [
        Series(name, points, kind)
        for name, kind in zip(names, TERM_KINDS, strict=False)
        if (points := curve(own, name))
    ]
    if len(series) < 2:
        return ""
    title = "Terms of the loss"
    key = legend((one.kind, "line", one.name) for one in series)
    note = f"{shown(model.title)}, weighted as they are trained"
    return figure(title, lines(series, frame, title), note, key)


def _adversaries(material: Material, own: Lines, frame: Frame, model: Model) -> list[str]:
    """What each discriminator gets right, and how strongly its gradient is reversed."""
    pictures = []
    names = (key.removesuffix("/lambda") for line in own for key in line if key.endswith("/lambda"))
    for name in dict.fromkeys(names):
        series = [
            Series("accuracy", curve(own, f"{name}/accuracy"), "c1"),
            Series("strength (lambda)", curve(own, f"{name}/lambda"), "c7", dashed=True),
        ]
        series = [one for one in series if one.points]
        sides = (part(material.results, side).get("domains", (0,)) for side in ("source", "target"))
        chance = 1 / max(sum(map(len, sides)), 2)
        title = f"Adversary {shown(name)}"
        verdict = part(model.scores, "adversary", name).get("verdict", "")
        picture = lines(series, frame, title, limits=(0.0, None), level=chance)
        key = legend(
            [
                *((one.kind, "dashes" if one.dashed else "line", one.name) for one in series),
                ("none", "dashes", "accuracy of a guess"),
            ]
        )
        pictures.append(figure(title, picture, shown(verdict), key))
    return pictures
