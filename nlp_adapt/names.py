"""Names that data, models and scores share: the tasks, and labels, which are matched by name.

A model's names that say nothing (LABEL_0, LABEL_1) stand for the wanted ones in their order, where
there are as many.
"""

import re
from collections.abc import Sequence
from typing import Any

from nlp_adapt.errors import ModelError

SEQUENCE_CLASSIFICATION = "sequence-classification"
TOKEN_CLASSIFICATION = "token-classification"
TASKS = (SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION)

OUTSIDE = "O"
"""The tag of a word outside any entity."""

ATTENTION = ("sdpa", "eager", "flash_attention_2")
"""Implementations of attention that a model may have; other names would fetch code from the Hub."""

ADAPTER_CONFIG = "adapter_config.json"
"""The file by which a folder of PEFT adapters is known."""

IGNORED_LABEL = -100
"""The class index of what has no label, as in torch's losses."""

_UNNAMED = re.compile(r"label_(?=\d+$)")


def label_key(name: str) -> str:
    """What two names must have in common to be the same label."""
    return re.sub(r"\s+", " ", name.strip()).casefold()


def counted(number: int, one: str) -> str:
    """`1 note`, `2,000 notes`, `3 entities`."""
    many = f"{one[:-1]}ies" if one.endswith("y") else one + ("es" if one.endswith("s") else "s")
    return f"{number:,} {one if number == 1 else many}"


def were(number: int) -> str:
    """The verb that goes with so many."""
    return "was" if number == 1 else "were"


def labels_of(config: Any, model: str) -> list[str]:
    """The names of a classifier's labels, in the order of its outputs.

    Args:
        config: Its transformers configuration.
        model: What it is called, for the error.

    Raises:
        ModelError: If it does not choose one of several labels, or does not name each output.
    """
    if other := _other_problem(config):
        raise ModelError(
            f"{model}: is a {other} model, whose outputs are no choice of one label; train from it "
            "first, which gives it a new head."
        )
    names = _names(config)
    if len(set(names)) < len(names) or not names:
        raise ModelError(
            f"{model}: id2label in its config.json must give every output, from 0 on, its own name."
        )
    return names


def order_by_name(known: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """The place of each wanted label among the known ones; None if these are other labels."""
    if list(known) == list(wanted):
        return list(range(len(known)))
    places = {_key(name): index for index, name in enumerate(known)}
    keys = [_key(name) for name in wanted]
    if len(places) != len(known) or len(keys) != len(known) or set(keys) != set(places):
        return None
    return [places[key] for key in keys]


def head_order(config: Any, auto_class: str, wanted: Sequence[str]) -> list[int] | None:
    """For each wanted label the row of a head that stands for it; None if the head is of no use.

    Args:
        config: The transformers configuration of the model with the head.
        auto_class: Name of the auto class that it is opened as.
        wanted: Label names in index order.
    """
    if _other_task(config, auto_class) or _other_problem(config):
        return None
    known = label_rows(config, auto_class)
    order = order_by_name(known, wanted)
    unnamed = len(known) == len(wanted) and all(_UNNAMED.match(name.lower()) for name in known)
    return list(range(len(known))) if order is None and unnamed else order


def describe_head(config: Any, auto_class: str) -> str:
    """What a model's head is, to go on after the model's name."""
    if task := _other_task(config, auto_class):
        return f"has a head for {task}"
    if other := _other_problem(config):
        return f"is a {other} model"
    return f"knows the labels {', '.join(_names(config) or map(str, config.id2label.values()))}"


def label_rows(config: Any, auto_class: str) -> list[str]:
    """What the rows of a head stand for; empty where it is of no use for `auto_class`."""
    return [] if _other_task(config, auto_class) or _other_problem(config) else _names(config)


def name_labels(config: Any, names: Sequence[str]) -> None:
    """Make a configuration that of a classifier among `names`, whose model answers by name."""
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    config.problem_type = None  # else `pipeline` might take another function than the softmax
    config.return_dict = True


def _names(config: Any) -> list[str]:
    """Label names by index; empty where some index has none."""
    names = config.id2label
    if sorted(names) != list(range(len(names))):
        return []
    return [str(names[index]) for index in range(len(names))]


def _other_task(config: Any, auto_class: str) -> str:
    """What the head was made for, by the name of its class, if not for `auto_class`."""
    tasks = re.findall(r"For([A-Z]\w+)", " ".join(config.architectures or []))
    return "" if auto_class.removeprefix("AutoModelFor") in tasks else " ".join(tasks)


def _other_problem(config: Any) -> str:
    """What kind of model it is, if not one that chooses one of several labels."""
    if config.problem_type == "multi_label_classification":
        return "multi-label"
    if config.problem_type == "regression":
        return "regression"
    return "one-output" if config.num_labels == 1 else ""


def _key(name: str) -> str:
    """What two names of one label have in common; LABEL_1 is the label 1."""
    return _UNNAMED.sub("", label_key(name))
