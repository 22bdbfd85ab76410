"""Low-rank and (IA)3 adapters through PEFT, on every architecture.

Adapters are injected into the task model in place, which stays the plain transformers class: what
reads its encoder, its head or its embeddings need not know of them. They are written in PEFT's own
format, so that `PeftModel.from_pretrained(base, folder)` opens them.

Hu et al. 2022, "LoRA", ICLR; Kalajdzievski 2023, "rsLoRA", arXiv:2312.03732; Liu et al. 2024,
"DoRA", ICML; Liu et al. 2022, "(IA)3", NeurIPS.
"""

import copy
import re
from pathlib import Path
from typing import Any

from nlp_adapt.config_training import LORA_TYPES
from nlp_adapt.errors import ConfigError, ModelError, first_line
from nlp_adapt.modeling.architectures import (
    architecture_of,
    encoder_layers,
    has_adapters,
    head_modules,
    linear_maps,
    plain_model,
)

ADAPTER = "default"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
# Set on a model whose encoder no name leads to, such as one that other adapters were merged into:
# nobody could open adapters on it.
NAMELESS = "nameless"
_READ_AS_OWN = ("LORA", "IA3")


def add_adapters(
    task_model: Any,
    kind: str = "lora",
    *,
    r: int = 8,
    alpha: float | None = None,
    dropout: float = 0.05,
    targets: str | list[str] = "all",
) -> Any:
    """Put trainable adapters into a task model; the rest of its encoder stops training.

    Args:
        task_model: An `AutoModelFor*` classification model; changed in place.
        kind: `lora`, `rslora`, `dora` or `ia3`.
        r: Rank; (IA)3 has none.
        alpha: Scale of the update; default: `2 * r`.
        dropout: Dropout before the low-rank product; (IA)3 has none.
        targets: `all` linear maps of the layers, those of the `attention` alone, or names of
            modules as PEFT's `target_modules` takes them. (IA)3 has its own choice for the first
            two: keys, values and the second map of the feed-forward part.

    Returns:
        The same model.

    Raises:
        ConfigError: If no module has such a name.
    """
    from peft import inject_adapter_in_model

    scale = 2 * r if alpha is None else alpha
    config = _adapter_config(task_model, kind, targets, r=r, lora_alpha=scale, lora_dropout=dropout)
    try:
        inject_adapter_in_model(config, task_model, ADAPTER)
    except ValueError as error:
        raise ConfigError(f"lora_targets: {first_line(error)}.") from error
    for module in head_modules(task_model).values():
        module.requires_grad_(True)
    return task_model


def merged(task_model: Any) -> Any:
    """A copy of the plain model with its adapters multiplied into the weights."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    model = copy.deepcopy(plain_model(task_model))
    adapted = [(n, m) for n, m in model.named_modules() if isinstance(m, BaseTunerLayer)]
    for name, module in adapted:
        try:
            module.merge(safe_merge=True)
        except ValueError as error:
            raise ModelError(f"the adapter of {name} cannot be merged ({error})") from error
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model.requires_grad_(True)


def unloaded(wrapper: Any) -> Any:
    """The plain model of a PEFT wrapper, its adapters multiplied into the weights.

    Heads are taken out first: beside IA3, PEFT's own unloading wants a weight of each, and a pooler
    or a head of several layers has none (huggingface/peft#3213).

    Args:
        wrapper: A `peft.PeftModel`; of no more use afterwards.
    """
    _take_out_heads(wrapper.get_base_model())
    return wrapper.merge_and_unload(safe_merge=True)


def check_wrapper(model: Any) -> None:
    """Refuse a PEFT wrapper around other adapters than `add_adapters` makes.

    Raises:
        ModelError: It holds adapters of another kind, or several.
    """
    configs = model.peft_config.values() if hasattr(model, "get_base_model") else []
    kinds = [one.peft_type.value for one in configs]
    if kinds and (len(kinds) > 1 or kinds[0] not in _READ_AS_OWN):
        raise ModelError(
            f"the PEFT model holds {', '.join(kinds)}, but can be trained on with one adapter of "
            "LoRA or IA3 only; merge what it holds (merge_and_unload), or give the plain model."
        )


def without_wrapper(model: Any) -> Any:
    """The task model inside a PEFT wrapper with its adapters, as `add_adapters` makes it."""
    if not hasattr(model, "get_base_model"):
        return model
    plain = model.get_base_model()
    _take_out_heads(plain)
    return plain


def _take_out_heads(model: Any) -> None:
    """Put the trained heads of a PEFT model in the places of their wrappers."""
    from peft.utils import ModulesToSaveWrapper

    heads = [(n, m) for n, m in model.named_modules() if isinstance(m, ModulesToSaveWrapper)]
    for name, head in heads:
        parent, _, child = name.rpartition(".")
        plain = head.unload_and_optionally_merge_module(
            merge=True, safe_merge=True, adapter_names=None
        )
        setattr(model.get_submodule(parent), child, plain)


def save_task_model(task_model: Any, folder: Path, *, merge: bool = False) -> None:
    """Write a task model: plain, or its adapters as a PEFT folder.

    Args:
        task_model: A classification model, with or without injected adapters.
        merge: Multiply adapters into the weights, so that the result is a plain model. Adapters on
            a model without a name always are.
    """
    task_model = without_wrapper(task_model)
    merge = merge or getattr(task_model, NAMELESS, False)
    if not has_adapters(task_model):
        task_model.save_pretrained(folder)
    elif merge:
        merged(task_model).save_pretrained(folder)
    else:
        _save_adapters(task_model, folder)


def _save_adapters(task_model: Any, folder: Path) -> None:
    """Write PEFT's two files, and the task model's configuration for its label names."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    (adapter,) = task_model.peft_config
    tensors = get_peft_model_state_dict(
        task_model, adapter_name=adapter, save_embedding_layers=False
    )
    state = task_model.state_dict()
    heads = head_modules(task_model)
    inside = {id(value) for head in heads.values() for value in head.parameters()}
    names = [name for name, value in task_model.named_parameters() if id(value) in inside]
    tensors.update((name, state[name]) for name in names)
    config = copy.deepcopy(task_model.peft_config[adapter])
    tagger = "TokenClassification" in type(task_model).__name__
    config.task_type = "TOKEN_CLS" if tagger else "SEQ_CLS"
    config.modules_to_save = sorted(heads)
    config.base_model_name_or_path = getattr(task_model.config, "_name_or_path", "") or None
    config.inference_mode = True
    if isinstance(config.target_modules, str):  # a caller's expression may be one that is not read
        adapted = (n for n, module in task_model.named_modules() if hasattr(module, "lora_A"))
        config.target_modules = sorted(adapted) or config.target_modules
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    save_file(
        {
            f"base_model.model.{name}": value.detach().cpu().contiguous().clone()
            for name, value in tensors.items()
        },
        folder / ADAPTER_WEIGHTS,
        metadata={"format": "pt"},
    )
    written = copy.deepcopy(task_model.config)
    written.architectures = [type(task_model).__name__]
    written.save_pretrained(folder)


def _adapter_config(
    task_model: Any, kind: str, targets: str | list[str], **numbers: float | None
) -> Any:
    from peft import IA3Config, LoraConfig

    if kind not in LORA_TYPES:
        raise ConfigError(f"lora_type is '{kind}', but must be one of {', '.join(LORA_TYPES)}.")
    if isinstance(targets, str) and targets not in ("all", "attention"):
        targets = [targets]
    if kind == "ia3":
        chosen, feedforward = _ia3_targets(task_model, targets)
        return IA3Config(target_modules=chosen, feedforward_modules=feedforward)
    if isinstance(targets, str):
        targets = _pattern(task_model, linear_maps(task_model, targets))
    flags: Any = {"use_rslora": kind == "rslora", "use_dora": kind == "dora", **numbers}
    return LoraConfig(target_modules=targets, **flags)


def _ia3_targets(task_model: Any, targets: str | list[str]) -> tuple[Any, Any]:
    """(IA)3 scales keys and values, and the input of the second feed-forward map."""
    first = encoder_layers(task_model)[0]
    names = linear_maps(task_model)
    widths = {name: first.get_submodule(name) for name in names}
    config = plain_model(task_model).config
    down = [
        name
        for name, part in widths.items()
        if part.out_features == config.hidden_size and part.in_features != config.hidden_size
    ]
    if isinstance(targets, list):
        return targets, [name for name in targets if any(one.endswith(name) for one in down)]
    pattern = architecture_of(config).keys_and_values
    keys = [name for name in names if re.search(pattern, name)]
    return _pattern(task_model, keys + down), _pattern(task_model, down)


def _pattern(task_model: Any, names: list[str]) -> str:
    """A regular expression for these modules in every layer, which PEFT matches in full."""
    layers = encoder_layers(task_model)
    prefix = next(name for name, part in plain_model(task_model).named_modules() if part is layers)
    listed = "|".join(re.escape(name) for name in names)
    return rf"{re.escape(prefix)}\.\d+\.(?:{listed})"
