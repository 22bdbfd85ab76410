"""The small JSON files of a model folder, checked before a library opens them.

A few bytes of theirs can name code on the Hub, or ask for more memory than any machine has.
"""

import copy
import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nlp_adapt.errors import ModelError
from nlp_adapt.escaping import one_line
from nlp_adapt.names import ADAPTER_CONFIG, ATTENTION

CONFIG = "config.json"
CHECKED = (CONFIG, ADAPTER_CONFIG, "tokenizer_config.json")
_MOST_BYTES = 2**25
_MOST_LEVELS = 32
# transformers takes other names as those of kernels on the Hub, which are code.
_IMPLEMENTATIONS = {
    "attn_implementation": ATTENTION,
    "experts_implementation": ("eager", "batched_mm", "grouped_mm"),
}
# These lead to libraries and kernels of their own, or to other files than the usual ones.
_REFUSED = ("quantization_config", "transformers_weights")
# Names of numbers -> least and most; what lies between makes no loop endless and no table huge.
_BOUNDS = (
    (re.compile(r"theta|max_length"), -(10**40), 10**40),  # nothing is made of them
    (re.compile(r"heads?$"), 1, 10**4),
    (re.compile(r"^(hidden_size|d_model|n_embd|dim)$"), 1, 10**6),
    (re.compile(r"(layers?|blocks?|stages?|depths?|groups?|group_num)$"), -1, 500),
    (re.compile(r"experts?$"), 0, 10**4),
    (re.compile(r"num_labels$"), 0, 10**6),
    (re.compile(r""), -(2**31), 2**31 - 1),
)

# What `add_adapters` has PEFT write: these maps, in every layer.
_OWN_PATTERN = re.compile(r"[\w\\.]*\\\.\\d\+\\\.\(\?:[\w\\.|]+\)")
# Read elsewhere, or by nobody once the adapters are there.
_UNREAD = ("base_model_name_or_path", "peft_type", "peft_version", "auto_mapping", "revision",
           "inference_mode", "init_ia3_weights")  # fmt: skip


def check_model_file(path: Path) -> None:
    """Refuse one of the `CHECKED` files whose keys or values no model should have.

    Raises:
        ModelError: In one sentence with file, key and value.
    """
    values = read_object(path)
    if path.name == CONFIG:
        _check_config(path, values)
    elif path.name == ADAPTER_CONFIG:
        adapter_options(path)
    for key, value in values.items():
        if not key.endswith("_file") or not isinstance(value, str):
            continue  # transformers itself takes a folder's own files only since 2026
        named = os.path.join(path.parent, value)
        if os.path.exists(named) and not Path(named).resolve().is_relative_to(
            path.parent.resolve()
        ):
            raise _fault(path, key, value, "but a model reads files of its own folder alone")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file.

    Raises:
        ModelError: It is large, damaged, no object, nested too deeply, or holds halves of characters.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(f"{path}: is larger than {_MOST_BYTES >> 20} MB; download it again.")
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ModelError(f"{path}: must hold a JSON object; download it again.")
        if any(level > _MOST_LEVELS for *_, level in _walk("", values)):
            raise RecursionError
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ModelError(f"{path}: holds half of a surrogate pair; correct it.") from error
    except RecursionError as error:
        raise ModelError(f"{path}: is nested too deeply; correct it.") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not valid JSON ({short(error)}); download it again.") from error
    return values


def adapter_options(path: Path) -> dict[str, Any]:
    """What PEFT is to be told of the adapters in its file: plain names, numbers and flags.

    Raises:
        ModelError: It says anything else that could change what is read.
    """
    values = read_object(path)
    kind = values.get("peft_type")
    if kind not in ("LORA", "IA3"):
        raise _fault(
            path, "peft_type", kind, "but only LORA and IA3 adapters are read; merge others first"
        )
    usual = _usual_options(kind)
    for key, value in values.items():
        if key in _UNREAD or value is None or value in ({}, []):
            continue
        # Of what is unknown, the usual value changes nothing.
        fine = _ADAPTER_KEYS[key](value) if key in _ADAPTER_KEYS else value == usual.get(key, False)
        if not fine:
            raise _fault(path, key, value, "which is not read from a file of adapters")
    known = [key for key in ("peft_type", *_ADAPTER_KEYS) if key in values and key in usual]
    return {key: values[key] for key in known}


def check_ranks(path: Path, options: Mapping[str, Any], largest: int) -> None:
    """Refuse ranks that the adapters' weights do not have, before memory is set aside for them."""
    ranks = {"r": options.get("r", 0), **options.get("rank_pattern", {})}
    for key, value in ranks.items():
        if not isinstance(value, int) or not 0 <= value <= largest:
            raise _fault(path, key, value, f"but its weights are at most {largest} wide")


def check_size(config: Any, kind: Any, path: str) -> None:
    """Refuse a model that is far larger than the weights in its folder, or than the machine.

    Args:
        config: Its configuration.
        kind: The auto class that it is opened as.
        path: Folder or Hub id.

    Raises:
        ModelError: Names the largest number of its config.json.
    """
    import psutil
    import torch
    from transformers.initialization import no_init_weights

    with torch.device("meta"), no_init_weights():
        model = kind.from_config(copy.deepcopy(config), trust_remote_code=False)
    numbers = sum(one.numel() for part in (model.parameters(), model.buffers()) for one in part)
    weights = list(Path(path).glob("*.safetensors"))
    if weights:  # a number takes a byte or more; masks, positions and new heads are not in there
        most, where = sum(one.stat().st_size for one in weights) + 2**26, "its weights can hold"
    else:
        most, where = psutil.virtual_memory().total // 4, "fit into the memory of this machine"
    if numbers <= most:
        return
    known = config.to_dict()
    key, value = max(
        ((key, value) for key, value, _ in _walk("", known) if _is_integer(value)),
        key=lambda pair: 0 if _BOUNDS[0][0].search(pair[0]) else pair[1],
    )
    raise ModelError(
        f"{path}: with {short(key)} {value:,} in its config.json the model has {numbers:,} numbers, "
        f"but {most:,} at most {where}; correct it, or choose another model."
    )


def _check_config(path: Path, values: Mapping[str, Any]) -> None:
    for key in ("id2label", "label2id"):
        if not isinstance(values.get(key) or {}, Mapping):
            raise _fault(path, key, values[key], "but must be a mapping of numbers and names")
    for key, value, _ in _walk("", values):
        if key in _REFUSED and value:
            raise _fault(path, key, value, "which is not read; choose a plain model")
        for name, allowed in _IMPLEMENTATIONS.items():
            if name in key and isinstance(value, str) and value not in allowed:
                raise _fault(path, key, value, f"but must be one of {', '.join(allowed)}")
        if "attn_implementation" in key and isinstance(value, str):
            check_attention(value, path)
        if _is_integer(value):
            least, most = next((lo, hi) for name, lo, hi in _BOUNDS if name.search(key))
            if not least <= value <= most:
                raise _fault(path, key, value, f"but must be from {least:,} to {most:,}")


def check_attention(value: str | None, where: object) -> None:
    """Refuse what transformers would fetch from the Hub as code.

    Raises:
        ModelError: If it is none of `ATTENTION`, or its package is not installed.
    """
    if value is None or value in ATTENTION[:2]:
        return
    if value not in ATTENTION:
        raise _fault(
            where, "attn_implementation", value, f"but must be one of {', '.join(ATTENTION)}"
        )
    if find_spec("flash_attn") is None:  # else transformers turns to a kernel on the Hub
        raise ModelError(
            f"{where}: attn_implementation is {value}, for which flash-attn is not installed; "
            "install it, or set attn_implementation to sdpa."
        )


def _walk(key: str, value: Any, level: int = 0) -> Iterator[tuple[str, Any, int]]:
    """Every value with the key that it stands under, in whatever depth."""
    waiting = [(key, value, level)]
    while waiting:
        key, value, level = waiting.pop()
        yield key, value, level
        if level > _MOST_LEVELS:
            continue
        if isinstance(value, dict):
            own = "" if level == 0 else key
            waiting += [
                # What an implementation is chosen for stands below it, by part of the model.
                (own if own.endswith("implementation") else str(name), inner, level + 1)
                for name, inner in value.items()
            ]
        elif isinstance(value, (list, tuple)):
            waiting += [(key, inner, level + 1) for inner in value]


def _usual_options(kind: str) -> dict[str, Any]:
    """What PEFT takes for granted of adapters of a kind."""
    from peft import IA3Config, LoraConfig

    made = LoraConfig() if kind == "LORA" else IA3Config()
    return {field.name: getattr(made, field.name, None) for field in dataclasses.fields(made)}


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _are_names(value: Any) -> bool:
    listed = value if isinstance(value, list) else [value]
    return all(isinstance(one, str) and re.fullmatch(r"[\w.-]+", one) for one in listed)


def _are_modules(value: Any) -> bool:
    return _are_names(value) or (isinstance(value, str) and bool(_OWN_PATTERN.fullmatch(value)))


def _are_numbers(value: Any) -> bool:
    listed = value if isinstance(value, list) else [value]
    numbers = all(_is_integer(one) or isinstance(one, float) for one in listed)
    return numbers and all(-(10**6) <= one <= 10**6 for one in listed)


def _are_numbers_by_name(value: Any) -> bool:
    return isinstance(value, dict) and _are_names([*value]) and _are_numbers([*value.values()])


_ADAPTER_KEYS: Mapping[str, Callable[[Any], bool]] = {
    "target_modules": _are_modules,
    "feedforward_modules": _are_modules,
    "exclude_modules": _are_names,
    "modules_to_save": _are_names,
    "layers_pattern": _are_names,
    "layers_to_transform": _are_numbers,
    "rank_pattern": _are_numbers_by_name,
    "alpha_pattern": _are_numbers_by_name,
    "r": _are_numbers,
    "lora_alpha": _are_numbers,
    "lora_dropout": _are_numbers,
    "fan_in_fan_out": _is_flag,
    "use_rslora": _is_flag,
    "use_dora": _is_flag,
    "lora_bias": _is_flag,
    "bias": _are_names,
    "task_type": _are_names,
    # Others begin with other weights of the base as well.
    "init_lora_weights": lambda value: value in (True, False, "gaussian", "orthogonal"),
}


def _fault(where: object, key: str, value: Any, why: str) -> ModelError:
    if _is_integer(value) and abs(value) < 10**40:
        value = f"{value:,}"
    return ModelError(f"{where}: {short(key)} is {short(value)}, {why}.")


def short(value: Any, most: int = 100) -> str:
    """A value of another's file as one line of bounded length."""
    line = one_line(value)
    return line if len(line) <= most else f"{line[:most]}..."
