"""Adapters that stand on the Hub, as a local folder."""

from __future__ import annotations

from pathlib import Path

from nlp_adapt.modeling.lora import ADAPTER_CONFIG

_NEEDED = ("*.json", "*.safetensors", "*.txt", "*.model")


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
    return snapshot_download(model, allow_patterns=list(_NEEDED))
