"""What a run would do, told without training: `nlp-adapt train --dry_run`."""

import copy
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nlp_adapt.recipe import Recipe
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.checks import (
    check_domains,
    check_every_stage,
    describe,
    describe_domains,
    warn_of_unread,
)
from nlp_adapt.training.run import Run
from nlp_adapt.training.schedule import Schedule
from nlp_adapt.yaml_text import inline_yaml

if TYPE_CHECKING:
    from nlp_adapt.training.trainer import AdaptationTrainer


def preview(trainer: "AdaptationTrainer", recipe: Recipe) -> dict[str, Any]:
    """Check all that a run checks before its first step, and tell what it would do.

    Rows are read and tokenised and the model is loaded; nothing is trained, and nothing written.

    Returns:
        `output_dir`, `domains` (a line each), `models` (by name, the objectives and steps of each
        stage), `cost` (rows, tokens, steps, parameters, memory and disk in bytes), `findings` of
        the data doctor, `set` (options that are not the defaults) and `recipe` (all options).

    Raises:
        AdaptationError: As the run itself would.
    """
    config = copy.copy(trainer.args)
    config.report_to = []
    # Rows are prepared outside of the run, which alone keeps edited copies on disk.
    context = dataclasses.replace(
        trainer.context, accelerator=make_accelerator(config), prepared=trainer.data
    )
    tokenizer, longest = context.tokenizer, context.max_length
    findings = check_domains(config, context.inputs, tokenizer, longest, context.main)
    if context.main:
        warn_of_unread(config, context.stages, longest)
    schedule = Schedule.of(context)
    check_every_stage(schedule)
    models = {
        name: [
            {"objectives": list(stage.objectives) or [stage.fit], "steps": steps}
            for stage, steps in zip(stages, schedule.steps(name), strict=True)
        ]
        for name, stages in schedule.models.items()
    }
    chosen, defaults = recipe.to_dict(), Recipe().to_dict()
    return {
        "output_dir": config.output_dir,
        "domains": describe_domains(context.inputs).splitlines(),
        "models": models,
        "cost": Run(context).cost(schedule, context.fresh_model()),
        "findings": findings,
        "set": {name: value for name, value in chosen.items() if value != defaults[name]},
        "recipe": chosen,
    }


def preview_lines(found: dict[str, Any]) -> Iterator[str]:
    """What `preview` tells, in words."""
    yield from found["domains"]
    for name, stages in found["models"].items():
        said = (f"{' + '.join(one['objectives'])} {one['steps']:,}" for one in stages)
        yield f"{name}: {', then '.join(said)} steps"
    yield describe(found["cost"])
    if found["findings"]:
        yield f"{len(found['findings'])} findings in the data: `nlp-adapt doctor` lists them."
    yield "\nSet, and not by default:"
    yield from (f"  {name}: {inline_yaml(value)}" for name, value in found["set"].items())
    yield f"\nNothing was trained or written. Leave out --dry_run to train into {found['output_dir']}."
