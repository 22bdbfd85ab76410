"""Loading models with every weight that their files promise; only a head may be new.

What a checkpoint lacks, transformers draws at random without an error: here that is refused.
"""

import copy
import logging
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from nlp_adapt.data.label_proposal import map_that_keeps
from nlp_adapt.data.labels import as_yaml
from nlp_adapt.errors import ModelError
from nlp_adapt.model_files import adapter_options, check_attention, check_ranks, check_size
from nlp_adapt.modeling.architectures import (
    encoder_of,
    head_modules,
    is_adapter_parameter,
    output_layer,
    plain_model,
)
from nlp_adapt.modeling.backbone import (
    adapter_base,
    check_on_hub,
    is_adapter_folder,
    loading,
    locate,
    model_config,
    resolve_model,
)
from nlp_adapt.modeling.lora import ADAPTER_WEIGHTS, NAMELESS, unloaded
from nlp_adapt.names import ADAPTER_CONFIG, describe_head, head_order, label_rows, name_labels

LOGGER = logging.getLogger("nlp_adapt")
# Set on a model: names of the weights that were drawn at random, and how its head reads a frozen
# encoder, in a sentence.
NEW, READING = "new_weights", "reading"

_OPTIONS: Mapping[str, Any] = {
    "dtype": torch.float32,
    "use_safetensors": True,
    "trust_remote_code": False,
    "ignore_mismatched_sizes": True,  # they are reported, and looked at here
    "output_loading_info": True,
}


class _Loaded(NamedTuple):
    """A model, the new weights of its head, what the head was, and what would have kept it."""

    model: Any
    new: set[str]
    replaced: str = ""
    kept_by: str = ""


def load_task_model(
    model: str,
    auto_class: str,
    label_names: Sequence[str],
    attn_implementation: str | None = None,
    *,
    new_head: bool = False,
) -> Any:
    """An `AutoModelFor*` in float32 with a head for `label_names`.

    The rows of a head that knows these labels are put into their order. A folder or a Hub
    repository of adapters comes as the plain model, with the adapters merged in.

    Args:
        model: Hub id, folder or `builtin:` name.
        attn_implementation: `sdpa`, `eager`, or None for the model's own choice.
        new_head: Whether a head may be drawn where the model has none for these labels.

    Raises:
        ModelError: If it lacks other weights, or cannot be found, reached or read.
    """
    loaded = _load(model, auto_class, list(label_names), attn_implementation)
    if loaded.new and not new_head:
        raise ModelError(
            f"{model}: its weights lack a head for {', '.join(label_names)} "
            f"({_first(loaded.new)}); train it first."
        )
    if loaded.replaced:
        LOGGER.warning("%s: %s, so it gets a new head%s.", model, loaded.replaced, loaded.kept_by)
    setattr(loaded.model, NEW, frozenset(loaded.new))
    return loaded.model


def load_encoder(model: str) -> Any:
    """The bare encoder in float32, without a task head."""
    import transformers

    with loading(model, "encoder"):
        path = resolve_model(model)
        check_on_hub(path)
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=False)
        check_size(config, transformers.AutoModel, path)
        encoder, report = transformers.AutoModel.from_pretrained(path, config=config, **_OPTIONS)
    _refuse_lacking(model, report, {name for name in report["missing_keys"] if "pooler" in name})
    return encoder


def has_encoder_of(task_model: Any, model: str) -> bool:
    """Whether a task model's encoder, without its adapters and heads, is that of a named model."""
    try:
        named = load_encoder(model).state_dict()
    except ModelError:
        return False
    heads = {id(one) for head in head_modules(task_model).values() for one in head.parameters()}
    return all(
        (other := named.get(name.replace(".base_layer.", "."))) is not None
        and torch.equal(value.detach().float().cpu(), other)
        for name, value in encoder_of(task_model).named_parameters()
        if id(value) not in heads and not is_adapter_parameter(name)
    )


def fit_given(model: Any, auto_class: str, wanted: Sequence[str]) -> None:
    """Make a model that the caller has loaded one for `wanted`, in place."""
    reorder_head(model, given_order(model, auto_class, wanted))
    name_labels(plain_model(model).config, wanted)


def given_order(model: Any, auto_class: str, wanted: Sequence[str]) -> list[int]:
    """The `head_order` of a model that the caller has loaded.

    Raises:
        ModelError: If it has another head than the task needs.
    """
    plain = plain_model(model)
    config = copy.copy(plain.config)
    config.architectures = [base.__name__ for base in type(plain).__mro__]
    order = head_order(config, auto_class, wanted)
    if order is None:
        raise ModelError(
            f"the given {type(plain).__name__} {describe_head(config, auto_class)}, but the data has "
            f"{', '.join(wanted)}: load it as an {auto_class} with id2label="
            f"{dict(enumerate(wanted))}, or give its name, and it gets a new head"
            f"{_kept_by(config, auto_class, wanted)}."
        )
    output_layer(plain)
    return order


def reorder_head(model: Any, order: Sequence[int]) -> None:
    """Put the rows of a model's output layer into another order, in place."""
    if list(order) == list(range(len(order))):
        return
    layer = output_layer(model)
    if any(module is layer and "lora_" in name for name, module in model.named_modules()):
        raise ModelError(
            "the labels of the data have another order than those of the model, whose output layer "
            "has adapters: merge them first (merge_and_unload)."
        )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter[list(order)])


def _load(model: str, auto_class: str, names: list[str], attention: str | None) -> _Loaded:
    with loading(model, "adapter"):
        path = locate(model)
    if is_adapter_folder(path):
        return _load_adapters(Path(path), auto_class, names, attention)
    return _load_plain(model, path, auto_class, names, attention)


def _load_plain(
    model: str, path: str, auto_class: str, names: list[str], attention: str | None
) -> _Loaded:
    import transformers

    options = {"attn_implementation": attention} if attention else {}
    with loading(model, "model"):
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=False)
        order, described = head_order(config, auto_class, names), describe_head(config, auto_class)
        keep = "" if order is not None else _kept_by(config, auto_class, names)
        name_labels(config, names)
        kind = getattr(transformers, auto_class)
        check_attention(attention, model)
        check_size(config, kind, path)
        loaded, report = kind.from_pretrained(path, config=config, **_OPTIONS, **options)
    missing = set(report["missing_keys"])
    new = missing | {name for name, *_ in report["mismatched_keys"]}
    if not new and order == list(range(len(names))):
        return _Loaded(loaded, new)
    output, head = _head_weights(loaded)
    if order is not None and not new & output:
        _refuse_lacking(model, report)
        reorder_head(loaded, order)
        return _Loaded(loaded, set())
    _refuse_lacking(model, report, missing & head, output)
    if output <= missing:  # a bare encoder, or one that should have had a head
        told = auto_class.removeprefix("AutoModel") in str(config.architectures)
        return _Loaded(loaded, new, "has no weights of its head" if told else "")
    _redraw_output(loaded)
    other = "has a head other than its config.json says" if order is not None else described
    return _Loaded(loaded, new | output, other, keep)


def _load_adapters(
    folder: Path, auto_class: str, names: list[str], attention: str | None
) -> _Loaded:
    from peft import PeftModel, get_peft_config
    from safetensors import safe_open
    from transformers import AutoConfig

    if not (folder / ADAPTER_WEIGHTS).is_file():  # PEFT would turn to a pickle
        raise ModelError(
            f"{folder}: holds no {ADAPTER_WEIGHTS}; weights in other formats are not read."
        )
    told = (folder / "config.json").is_file()  # beside its own adapters, PEFT writes none
    with loading(str(folder), "configuration"):
        config = (
            AutoConfig.from_pretrained(folder, trust_remote_code=False)
            if told
            else model_config(str(folder))
        )
        order = head_order(config, auto_class, names)
    if order is None and told:
        raise ModelError(
            f"{folder}: {describe_head(config, auto_class)}, but needed are {', '.join(names)}; "
            "adapters get no new head: start from their base model."
        )
    own = names if order is None else [config.id2label[index] for index in range(len(order))]
    base = _load(adapter_base(folder), auto_class, own, attention)
    with loading(str(folder), "adapter"), warnings.catch_warnings():
        warnings.filterwarnings("error", "Found missing adapter keys")
        with safe_open(folder / ADAPTER_WEIGHTS, "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        brought = {name.removeprefix("base_model.model.") for name in shapes}
        options = adapter_options(folder / ADAPTER_CONFIG)
        check_ranks(folder / ADAPTER_CONFIG, options, max(map(max, filter(None, shapes.values()))))
        adapters = get_peft_config(options)
        plain = unloaded(PeftModel.from_pretrained(base.model, str(folder), config=adapters))
    reorder_head(plain, order or [])
    name_labels(plain.config, names)
    setattr(plain, NAMELESS, True)
    return _Loaded(plain, base.new - brought)


def _redraw_output(model: Any) -> None:
    """Draw the weights of a model's output layer anew."""
    layer = output_layer(model)
    spread = getattr(model.config, "initializer_range", None) or 0.02
    nn.init.normal_(layer.weight, std=float(spread))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _head_weights(model: Any) -> tuple[set[str], set[str]]:
    """Names of the weights of the output layer, and of all between the last layer and the logits."""
    layer = output_layer(model)
    parts = [layer] if encoder_of(model) is model else [layer, *head_modules(model).values()]
    output, head = (
        {id(one) for part in chosen for one in part.parameters()} for chosen in ([layer], parts)
    )
    names = {name: id(one) for name, one in model.named_parameters(remove_duplicate=False)}
    return (
        {name for name, one in names.items() if one in output},
        {name for name, one in names.items() if one in head},
    )


def _refuse_lacking(
    model: str,
    report: Mapping[str, Any],
    missing: Collection[str] = (),
    resized: Collection[str] = (),
) -> None:
    """Refuse a model whose files lack weights, but for those that may be `missing` or `resized`."""
    if lacking := set(report["missing_keys"]).difference(missing):
        strange = report["unexpected_keys"]
        instead = f", and hold {_first(strange)}, which it has no place for" if strange else ""
        raise ModelError(
            f"{model}: its weights lack {_first(lacking)}{instead}; save or download it again."
        )
    for name, theirs, own in sorted(report["mismatched_keys"]):
        if name not in resized:
            raise ModelError(
                f"{model}: {name} is {list(theirs)} in its weights, but {list(own)} by its "
                "config.json; correct what is wrong."
            )


def _kept_by(config: Any, auto_class: str, wanted: Sequence[str]) -> str:
    """How a head would stay, to go on after "it gets a new head"; empty where it would not."""
    kept_by = map_that_keeps(label_rows(config, auto_class), wanted)
    return f" (with label_map: {as_yaml(kept_by)} it keeps its own)" if kept_by else ""


def _first(names: Collection[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more
