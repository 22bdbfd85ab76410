"""Keeping access tokens and folder names of the user's machine out of what a run writes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

HIDDEN = "***"
_TOKEN = re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{16,}")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY = re.compile(r"(?i)([?&](?:access_)?(?:token|key|secret|password)=)[^&\s#]+")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SHORTEST_TOKEN = 8


def redact(text: str) -> str:
    """`text` with every access token and every login in a URL hidden."""
    for name in _TOKEN_VARIABLES:
        token = os.environ.get(name, "").strip()
        if len(token) >= _SHORTEST_TOKEN:
            text = text.replace(token, HIDDEN)
    text = _TOKEN.sub(rf"\1_{HIDDEN}", text)
    text = _CREDENTIALS.sub(f"{HIDDEN}@", text)
    return _QUERY.sub(rf"\1{HIDDEN}", text)


def holds_secret(value: Any) -> bool:
    """Whether an access token or a login stands in a text, or anywhere in a list or mapping."""
    if isinstance(value, dict):
        return any(holds_secret(item) for pair in value.items() for item in pair)
    if isinstance(value, (list, tuple)):
        return any(map(holds_secret, value))
    return isinstance(value, str) and redact(value) != value


def shareable(value: Any) -> Any:
    """`value` as others may see it: no tokens, and files by name without their folders."""
    if isinstance(value, dict):
        return {shareable(key): shareable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shareable(item) for item in value]
    if not isinstance(value, str):
        return value
    if Path(value).is_absolute() or value.startswith("~"):
        value = Path(value).name or HIDDEN
    return redact(value)
