"""The page for users of transformers.Trainer: what became of each argument, from transformers' own classes.

python scripts/trainer_page.py   # writes docs/how-to/coming-from-trainer.md
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-to" / "coming-from-trainer.md"
sys.path.insert(0, str(ROOT))

from nlp_adapt.config import AdaptationConfig  # noqa: E402
from nlp_adapt.config_training import OPTIMIZERS  # noqa: E402
from nlp_adapt.training_arguments import answer  # noqa: E402
from nlp_adapt.usual_names import USUAL_NAMES  # noqa: E402

INTRODUCTION = """\
# Coming from Trainer

`AdaptationTrainer` speaks the language of `transformers.Trainer`. Three things differ:

- There are two domains: `source`, with labels, in the place of `train_dataset`, and `target`, without. A batch
  holds rows of both, and `per_device_train_batch_size` counts the rows of each.
- A run trains two models, one without adaptation to compare with, and both may have several stages.
  [Callbacks](python.md#callbacks-metrics-and-rows-of-your-own) hear of each model in turn.
- Nothing is selected by labels of the target: `metric_for_best_model` takes label-free scores alone.

A `TrainingArguments` is taken as it is, or with options of ours beside it. What it leaves at its default
follows our default; what is set and has no meaning here is refused with the reason that stands below.

```python
from transformers import TrainingArguments

from nlp_adapt import AdaptationConfig

arguments = TrainingArguments(output_dir="runs/mine", learning_rate=3e-5, eval_strategy="steps")
config = AdaptationConfig.from_training_arguments(arguments, method="dann")
print(config.method, config.learning_rate, config.eval_strategy)
```

Made by `python scripts/trainer_page.py` from transformers {version}; a test holds it to that.
"""
# Arguments of Trainer's constructor that are called otherwise here.
CALLED = {"train_dataset": "`source`", "optimizers": "`optimizers`: functions, not made objects"}
CALLED |= {"eval_dataset": "`eval_dataset`: a dict of names, scored at the end"}
CALLED |= {"args": "`args`: an `AdaptationConfig`, or a `TrainingArguments`"}
OPTIONS = {
    "per_device_train_batch_size": "the same, of each domain",
    "metric_for_best_model": "the same, for label-free scores alone",
    "optim": f"the same, for {', '.join(f'`{name}`' for name in OPTIMIZERS)}",
    "save_strategy": "the same, but for `best`: see `load_best_model_at_end`",
    "fsdp": "true or false",
    "save_total_limit": "the same; 2 by default",
}
METHODS = {
    "train": "returns results.json as a dict",
    "evaluate": "takes any labelled rows, not those of `eval_dataset` alone",
    "predict": "returns a label and scores for each row",
}


def page() -> str:
    """Markdown of all tables."""
    import transformers

    parts = [
        INTRODUCTION.format(version=transformers.__version__),
        "## Trainer's constructor\n",
        table(("Argument", "Here"), constructor()),
        "\n## Trainer's methods and attributes\n",
        table(("Method", "Here"), methods()),
        "\n## TrainingArguments\n",
        table(("Option", "Here"), arguments()),
    ]
    return "\n".join(parts) + "\n"


def constructor() -> list[tuple[str, str]]:
    """What became of each argument of Trainer's constructor."""
    from transformers import Trainer

    from nlp_adapt import AdaptationTrainer

    own = inspect.signature(AdaptationTrainer).parameters
    rows = []
    for name in list(inspect.signature(Trainer).parameters):
        same = "the same" if name in own else f"none: {USUAL_NAMES.get(name, 'leave it out')}"
        rows.append((name, CALLED.get(name, same)))
    return rows


def methods() -> list[tuple[str, str]]:
    """Public methods of Trainer that AdaptationTrainer has as well."""
    from transformers import Trainer

    from nlp_adapt import AdaptationTrainer

    names = [name for name in dir(Trainer) if not name.startswith("_")]
    names = [name for name in names if hasattr(AdaptationTrainer, name)]
    rows = [(name, METHODS.get(name, "the same")) for name in names]
    return [
        *rows,
        ("state", "`log_history` holds the lines of log.jsonl"),
        ("accelerator", "the same"),
    ]


def arguments() -> list[tuple[str, str]]:
    """What became of each option of TrainingArguments."""
    from transformers import TrainingArguments

    known = [field.name for field in dataclasses.fields(AdaptationConfig)]
    rows = []
    for field in dataclasses.fields(TrainingArguments):
        found = answer(field.name, known)
        if found in known and found != field.name:
            found = f"`{found}`"
        elif found == field.name:
            found = OPTIONS.get(field.name, "the same")
        elif not found:
            found = "without effect"
        else:
            found = f"none: {found}"
        rows.append((field.name, found))
    return rows


def table(header: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    """A table of names and what is said of them."""
    lines = [f"| {' | '.join(header)} |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {said} |" for name, said in rows)])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
