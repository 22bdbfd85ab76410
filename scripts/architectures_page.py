"""The page of architectures: each one that transformers classifies with, tried, and what became of it.

python scripts/architectures_page.py               # all, in ten minutes: writes the page
python scripts/architectures_page.py bert gpt2     # these: prints their rows
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "architectures.md"
sys.path.insert(0, str(ROOT))

from tests.helpers.architecture_walk import TASKS, WORKS, outcome  # noqa: E402
from tests.helpers.shrunken import classifiers  # noqa: E402

INTRODUCTION = """\
# Architectures

Every architecture that transformers {version} has a sentence or a word classifier for, tried as a tiny
random model: the features and logits of training are those of plain forward passes; a padded and an
unpadded row give the same logits; a row of the greatest length goes through; source-only and
`dann` train; and plain transformers reads the same logits from the saved folder. "works" says all of
that, and nothing about how well a pretrained model of the kind adapts.

What the discriminator reads, unless `domain_features` says otherwise, is the input of the last linear
layer:

- of encoders such as BERT, what the head makes of the first token, or of the mean of all;
- of decoders such as GPT-2, Llama and Qwen2, the last token that is not padding. A tokenizer without a
  padding token gets the model's or its own end token, and both are saved so. `domain_features: first` is
  refused, since the first token has seen nothing of the text;
- of encoder-decoders such as BART and T5, the decoder's state at the end token. `freeze` takes `none` or
  `all`, and objectives that perturb embeddings are refused;
- of XLNet, the last token; its tokenizer is saved so that it pads on the left.

Made by `python scripts/architectures_page.py`; `pytest -m slow tests/modeling/test_architectures.py`
tries again whether it still holds.
"""


def page(outcomes: Mapping[str, Mapping[str, str]], version: str) -> str:
    """Markdown of what became of each architecture, by task.

    Args:
        outcomes: For each task, `works` or the sentence of a refusal, by architecture.
        version: Of transformers.
    """
    lines = [
        INTRODUCTION.format(version=version),
        "| Architecture | Sentences | Words |",
        "|---|---|---|",
    ]
    lines += rows(outcomes)
    lines += ["", "## Refused, and why", ""]
    for name in sorted(set().union(*outcomes.values())):
        by_reason: dict[str, list[str]] = {}
        for task, found in outcomes.items():
            if found.get(name, WORKS) != WORKS:
                by_reason.setdefault(found[name], []).append(TASKS[task])
        for reason, tasks in by_reason.items():
            lines.append(f"- `{name}`, {' and '.join(tasks)}: {reason}")
    return "\n".join(lines) + "\n"


def rows(outcomes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A row of the table for each architecture."""
    return [
        f"| `{name}` | " + " | ".join(_word(found.get(name)) for found in outcomes.values()) + " |"
        for name in sorted(set().union(*outcomes.values()))
    ]


def walk(names: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """What becomes of the architectures `names`, or of all, by task."""
    found: dict[str, dict[str, str]] = {task: {} for task in TASKS}
    for task in TASKS:
        for name in classifiers(task):
            if not names or name in names:
                try:
                    found[task][name] = outcome(name, task)
                except Exception as error:
                    error.add_note(f"{name}, {TASKS[task]}")
                    raise
    return found


def _word(found: str | None) -> str:
    if found is None:
        return "no such class"
    return found if found == WORKS else "refused"


if __name__ == "__main__":
    import logging

    import transformers

    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    wanted = sys.argv[1:]
    found = walk(wanted)
    if wanted:
        print(page(found, transformers.__version__).partition("|---|---|---|\n")[2])
    else:
        PAGE.write_text(page(found, transformers.__version__), encoding="utf-8")
