"""`precision: auto` measures, and anything else is taken at its word."""

import pytest
import torch

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling import cpu
from nlp_adapt.modeling.cpu import choose_precision

CPU = torch.device("cpu")
FORMATS = (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [((1.0, 0.5), "bf16"), ((1.0, 0.79), "bf16"), ((1.0, 0.9), "fp32"), ((1.0, 7.0), "fp32")],
)
def test_auto_takes_bf16_where_it_is_clearly_quicker(monkeypatch, seconds, expected):
    measured = dict(zip(FORMATS, seconds, strict=True))
    monkeypatch.setattr(cpu, "_layer_seconds", lambda formats: measured)
    assert choose_precision("auto", CPU) == expected


@pytest.mark.parametrize("told", ["fp32", "bf16"])
def test_what_is_told_is_not_measured(monkeypatch, told):
    monkeypatch.setattr(cpu, "_layer_seconds", lambda formats: pytest.fail("measured"))
    assert choose_precision(told, CPU) == told


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(ConfigError, match="precision fp16 needs a GPU"):
        choose_precision("fp16", CPU)


def test_the_measurement_takes_both_formats_in_turn_and_keeps_the_best_time():
    found = cpu._best_seconds(FORMATS, size=32, rows=8, repeats=2)
    assert set(found) == set(FORMATS)
    assert all(value > 0 for value in found.values())


@pytest.mark.parametrize(
    ("few", "measured"), [((1.0, 1.5), [16, 256]), ((1.0, 0.5), [16, 256]), ((1.0, 9.0), [16])]
)
def test_an_emulated_format_is_told_by_a_few_rows(monkeypatch, few, measured):
    asked = []

    def best(formats, size, rows, repeats):
        asked.append(rows)
        return dict(zip(formats, few, strict=True))

    monkeypatch.setattr(cpu, "_best_seconds", best)
    cpu._layer_seconds.cache_clear()
    for _ in range(2):
        assert cpu._layer_seconds(FORMATS) == dict(zip(FORMATS, few, strict=True))
    cpu._layer_seconds.cache_clear()
    assert asked == measured
