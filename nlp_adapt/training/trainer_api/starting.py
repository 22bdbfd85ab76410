"""From what `AdaptationTrainer` is given to the context of a run, checked before anything is read."""

import inspect
from collections.abc import Mapping
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.suitability import refuse_architecture, with_padding
from nlp_adapt.modeling.tokenizers import check_vocabulary, for_words, load_tokenizer
from nlp_adapt.objectives import checked_stages
from nlp_adapt.training.checks import check_rates
from nlp_adapt.training.context import RunContext, StartingModel
from nlp_adapt.training.inputs.auxiliary import read_entries
from nlp_adapt.training.inputs.data import make_task
from nlp_adapt.training.inputs.domains import Inputs, check_options, gather_inputs
from nlp_adapt.training.saving.run_folder import RunFolder
from nlp_adapt.training.schedule import needs_target
from nlp_adapt.training_arguments import is_training_arguments
from nlp_adapt.usual_names import hint
from nlp_adapt.validators import selecting_validator


def check_arguments(trainer: type, needed: Mapping[str, Any], unknown: Mapping[str, Any]) -> None:
    """Refuse arguments that a trainer lacks, and missing ones.

    Raises:
        ConfigError: Says what an unknown one is called here, or why there is none.
    """
    known = [name for name in inspect.signature(trainer).parameters if name != "unknown"]
    for name in unknown:
        raise ConfigError(f"AdaptationTrainer: unknown argument '{name}'{hint(name, known)}")
    for name, value in needed.items():
        if value is None:
            raise ConfigError(f"AdaptationTrainer needs `{name}`: give it.")


def read_config(args: Any) -> AdaptationConfig:
    """The options of a run, also where they come as `transformers.TrainingArguments`.

    Raises:
        ConfigError: If `args` is neither, or sets what has no meaning here.
    """
    if isinstance(args, AdaptationConfig):
        return args
    if is_training_arguments(args):
        return AdaptationConfig.from_training_arguments(args)
    raise ConfigError(
        f"args is a {type(args).__name__}, but must be an AdaptationConfig (or a "
        "transformers.TrainingArguments): it has the same options by the same names."
    )


def make_context(
    args: AdaptationConfig,
    model: Any,
    source: Any,
    target: Any = None,
    few_shot: Any = None,
    auxiliary: Mapping[str, Any] | None = None,
    tokenizer: Any = None,
) -> RunContext:
    """The context of a run; the arguments are those of `AdaptationTrainer`.

    Raises:
        AdaptationError: If they do not go together.
    """
    stages = checked_stages(args)
    if args.load_best_model_at_end:
        selecting_validator(args.metric_for_best_model)
    check_rates(args)
    if args.auxiliary:  # what is wrong with a recipe is said before any data is read
        read_entries(args)
    if isinstance(source, Inputs):
        inputs = source
    else:
        inputs = gather_inputs(args, source, target, few_shot, auxiliary)
    if needs_target(stages) and not inputs.targets:
        raise ConfigError(f"method '{args.method}' needs a target domain: set `target`.")
    check_options(inputs, args, stages)
    start = StartingModel.of(model)
    task = make_task(args, inputs)
    if start.saved is not None:  # its head knows the labels in an order of its own
        task = start.saved.task(args.task, task.label_names)
    refuse_architecture(start.config)
    start.check(task)
    tokenizer = tokenizer or load_tokenizer(start.folder_or_id)
    check_vocabulary(tokenizer, start.config, start.name)
    if task.units_are_words:
        tokenizer = for_words(tokenizer)
    tokenizer = with_padding(tokenizer, start.config)
    folder = RunFolder(args.output_dir)
    context = RunContext(args, stages, inputs, task, tokenizer, start, folder)
    _ = context.target_shares  # now, before anything trains, if they do not fit
    return context
