"""Tachet des Combes et al. 2020, NeurIPS, on `cdan`; see `iw_dann`."""

from dataclasses import dataclass

from nlp_adapt.objectives.cdan import Cdan, CdanConfig
from nlp_adapt.objectives.iw_dann import PriorAware, PriorAwareConfig


@dataclass(kw_only=True)
class IwCdanConfig(PriorAwareConfig, CdanConfig):
    """Options of `cdan` and of the estimation of class frequencies."""


class IwCdan(PriorAware, Cdan):
    """`cdan` with source units weighted to the target's estimated class frequencies."""

    config_class = IwCdanConfig
    summary = "cdan with the source weighted to the target's estimated class frequencies"
    paper = "Tachet des Combes et al. 2020, NeurIPS"
