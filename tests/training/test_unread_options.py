"""Options of adversaries are named where a run has no adversary that reads them."""

import logging

import pytest

from nlp_adapt import AdaptationConfig
from nlp_adapt.methods import METHODS, stages_for
from nlp_adapt.training.checks import unread_options, warn_of_unread

SET = {
    "lambda_max": 0.3,
    "lambda_schedule": "linear",
    "source_warmup": 0.2,
    "discriminator_hidden_size": 32,
    "discriminator_layers": 1,
    "discriminator_dropout": 0.3,
}


def unread(method: str, **options) -> list[str]:
    config = AdaptationConfig(method=method, **options)
    return unread_options(config, stages_for(config))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("dann", []),
        ("daat", []),  # its second stage has the adversary
        ("iw_cdan", []),
        (
            "daln",
            [
                "lambda_max",
                "discriminator_hidden_size",
                "discriminator_layers",
                "discriminator_dropout",
            ],
        ),
        ("wasserstein", ["discriminator_dropout"]),  # its critic has its own, off
        ("auto", ["lambda_max", "lambda_schedule"]),  # which it sets itself
        ("mcc", list(SET)),
        ("logistic_regression", list(SET)),
    ],
)
def test_set_options_without_a_reader_are_found(method: str, expected: list[str]) -> None:
    assert unread(method, **SET) == expected


def test_the_same_name_elsewhere_does_not_count() -> None:
    """`auxiliary` has a dropout of its own."""
    auxiliary = {"stars": {"label_column": "stars"}}
    assert unread("mcc", discriminator_dropout=0.3, auxiliary=auxiliary) == [
        "discriminator_dropout"
    ]


def test_weights_of_words_are_for_words() -> None:
    assert unread("dann", domain_words="balanced") == ["domain_words"]
    assert not unread("dann", domain_words="balanced", task="token-classification")


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"distillation"}))
def test_defaults_are_never_named(method: str) -> None:
    assert unread(method) == []


def test_the_warning_names_options_and_objectives(caplog: pytest.LogCaptureFixture) -> None:
    config = AdaptationConfig(method="mcc", lambda_max=0.3)
    with caplog.at_level(logging.WARNING, logger="nlp_adapt"):
        warn_of_unread(config, stages_for(config), 512)
    (record,) = caplog.records
    assert record.getMessage() == (
        "lambda_max: changes nothing, since no objective of this run reads it (it has mcc, task)."
    )
    caplog.clear()
    warn_of_unread(
        AdaptationConfig(method="dann"), stages_for(AdaptationConfig(method="dann")), 512
    )
    assert not caplog.records


@pytest.mark.parametrize(("wanted", "told"), [(100_000, True), (512, False)])
def test_a_length_beyond_the_model_is_told(caplog, wanted, told):
    config = AdaptationConfig(method="dann", max_length=wanted)
    warn_of_unread(config, stages_for(config), 512)
    assert ("reads 512 tokens at most" in caplog.text) == told


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ema_decay": 0.9}, []),
        ({"ema_decay": 0.9, "teacher": "twin"}, ["ema_decay", "teacher is student"]),
        ({"edit_rate": 0.3}, ["edit_rate", "edit is delete or mask"]),
        ({"edit_rate": 0.3, "edit": "mask"}, []),
        ({"labels": "hard", "temperature": 0.5}, ["temperature", "labels is soft"]),
        ({"weighting": "none", "strictness": 2.0}, ["strictness", "weighting is soft or adaptive"]),
        ({"confidence": 0.8}, ["confidence", "weighting is fixed"]),
        ({"confidence": 0.8, "weighting": "fixed"}, []),
    ],
)
def test_what_another_option_makes_void_is_named(options, expected, caplog) -> None:
    config = AdaptationConfig(method="self_training", options={"self_training": options})
    with caplog.at_level(logging.WARNING):
        warn_of_unread(config, stages_for(config), longest=512)
    said = [one for one in caplog.messages if "changes nothing" in one]
    assert len(said) == bool(expected)
    for word in expected:
        assert word in said[0]
    if expected:
        assert said[0].startswith(f"self_training.{expected[0]} changes nothing: it is read where ")


@pytest.mark.parametrize("twin", [True, False])
def test_a_method_without_the_twin_that_teaches_it_is_another(twin, caplog) -> None:
    config = AdaptationConfig(method="auto", compare_source_only=twin)
    with caplog.at_level(logging.WARNING):
        warn_of_unread(config, stages_for(config), longest=512)
    said = [one for one in caplog.messages if "in place of a twin" in one]
    assert len(said) == (not twin)
