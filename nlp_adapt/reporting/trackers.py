"""Experiment trackers: one tracker run for each model, with the same tags, counted from step 0."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nlp_adapt.config import AdaptationConfig

# How a tracker takes the name of a run and of its group; those of `_FOLDERS` are given a path.
_NAMES = {
    "wandb": ("name", "group"),
    "trackio": ("name", "group"),
    "swanlab": ("experiment_name", None),
    "mlflow": ("run_name", None),
    "clearml": ("task_name", None),
}
_FOLDERS = ("tensorboard", "dvclive", "aim")


def start_trackers(accelerator: Any, config: AdaptationConfig, model: str) -> None:
    """Begin a tracker run for a model of the run, once that of the model before it has ended.

    Both models log the same tags, so that a tracker lays their curves over each other.
    """
    end_trackers(accelerator)
    run = config.run_name or Path(config.output_dir).resolve().name
    name = f"{run}-{model}"
    named = {
        tracker: {key: name, **({group: run} if group else {})}
        for tracker, (key, group) in _NAMES.items()
    }
    options = {**plain_options(config.to_dict()), "trained": model}
    asked, started = accelerator.log_with, []
    for tracker in asked:
        kind = str(getattr(tracker, "value", getattr(tracker, "name", tracker)))
        project = f"{config.project}/{name}" if kind in _FOLDERS else config.project
        accelerator.log_with, accelerator.trackers = [tracker], []
        accelerator.init_trackers(project, init_kwargs=named)
        started += accelerator.trackers
    accelerator.log_with, accelerator.trackers = asked, started
    for tracker in started:
        if tracker.name == "tensorboard":  # which else makes a run of the options themselves
            table = "\n".join(f"    {key}: {value}" for key, value in options.items())
            tracker.log({"options": table}, step=0)
        else:
            tracker.store_init_configuration(options)


def log_scores(accelerator: Any, scores: Mapping[str, Any], step: int) -> None:
    """Give trackers what a trained model scores, under the names of results.json."""
    kept = {side: scores.get(side) for side in ("source", "target", "label_free")}
    accelerator.log(dict(_numbers("", kept)), step=step)


def close_trackers(accelerator: Any, run: Path) -> None:
    """Give the report, without what may quote rows, to trackers that keep files; end them all."""
    if accelerator.is_main_process:
        from nlp_adapt.reporting.page import PAGE
        from nlp_adapt.reporting.page.build import write_report

        with tempfile.TemporaryDirectory() as folder:
            _log_file(accelerator, write_report(run, Path(folder) / PAGE, private=False))
            end_trackers(accelerator)
    accelerator.wait_for_everyone()


def _log_file(accelerator: Any, page: Path) -> None:
    for tracker in accelerator.trackers:
        if tracker.name == "wandb":
            import wandb

            artifact = wandb.Artifact(f"report-{tracker.tracker.id}", type="report")
            artifact.add_file(str(page))
            tracker.tracker.log_artifact(artifact)
        elif tracker.name == "mlflow":
            tracker.log_artifact(str(page))
        elif tracker.name == "trackio":
            import trackio

            if hasattr(trackio, "log_artifact"):
                trackio.log_artifact(str(page), name="report", type="report")
            elif hasattr(trackio, "save"):
                trackio.save(str(page))


def end_trackers(accelerator: Any) -> None:
    """Let trackers write what they hold.

    The processes stay connected, so that another run can follow; `Accelerator.end_training` would
    part them.
    """
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.trackers = []


def _numbers(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Scores by name, such as `target/macro_f1`; classes, types and domains are left out."""
    for key, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}{key}", value
        elif not prefix and isinstance(value, Mapping):
            yield from _numbers(f"{key}/", value)


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What trackers accept as hyperparameters: the rest as text."""
    return {
        name: value if isinstance(value, (int, float, str)) else str(value)
        for name, value in options.items()
    }
