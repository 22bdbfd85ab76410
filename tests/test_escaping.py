"""Tokens never leave the machine."""

from __future__ import annotations

from typing import Any

import pytest

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.escaping import holds_secret, redact, shareable
from nlp_adapt.recipe import Recipe

TOKEN = "hf_" + "abcdefghijklmnopqrstuv"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"got {TOKEN}.", "got hf_***."),
        (f"https://me:{TOKEN}@hub.example/x", "https://***@hub.example/x"),
        ("https://me:secret@hub.example/x", "https://***@hub.example/x"),
        (f"https://hub.example/x?a=1&token={TOKEN}", "https://hub.example/x?a=1&token=hf_***"),
        ("https://hub.example/x?access_token=abc#y", "https://hub.example/x?access_token=***#y"),
        ("hf_short and a@b.example stay", "hf_short and a@b.example stay"),
        ("https://hub.example/@me", "https://hub.example/@me"),
    ],
)
def test_redact(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert redact(text).replace("token=hf_***", "token=***") == shown.replace(
        "token=hf_***", "token=***"
    )
    assert holds_secret([{"x": text}]) is (text != shown)


def test_a_token_of_any_form_in_the_environment_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-token-of-another-hub")
    assert redact("x a-token-of-another-hub y") == "x *** y"


def test_shareable_goes_into_everything() -> None:
    given = {"a": ["/home/me/x.csv", {"b": "~/y"}], "n": 1, "t": TOKEN, "/home/me/k": None}
    assert shareable(given) == {"a": ["x.csv", {"b": "y"}], "n": 1, "t": "hf_***", "k": None}


@pytest.mark.parametrize(
    "options",
    [
        {"model": f"https://me:{TOKEN}@hub.example/model"},
        {"source": ["a.csv", f"b.csv?token={TOKEN}"]},
        {"label_map": {TOKEN: "x"}},
        {"hub_model_id": TOKEN},
    ],
)
def test_a_recipe_with_a_token_is_refused_by_key(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe(**options)
    assert next(iter(options)) in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_language_codes_are_checked() -> None:
    with pytest.raises(ConfigError, match="hub_language: 'English'"):
        AdaptationConfig(hub_language=["English"])
