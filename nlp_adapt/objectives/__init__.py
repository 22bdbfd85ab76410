"""The terms of the loss, one file each, and the dict that names them."""

from __future__ import annotations

from nlp_adapt.config import nearest
from nlp_adapt.errors import ConfigError
from nlp_adapt.objectives.adda import Adda
from nlp_adapt.objectives.auxiliary import Auxiliary
from nlp_adapt.objectives.base import AuxiliarySpec, Objective, ObjectiveConfig, Setup, StepView
from nlp_adapt.objectives.cdan import Cdan
from nlp_adapt.objectives.cmd import Cmd
from nlp_adapt.objectives.consistency import Consistency
from nlp_adapt.objectives.coral import Coral
from nlp_adapt.objectives.daln import Daln
from nlp_adapt.objectives.dann import Dann
from nlp_adapt.objectives.distillation import Distillation
from nlp_adapt.objectives.domain_distinguish import DomainDistinguish
from nlp_adapt.objectives.entropy import Entropy
from nlp_adapt.objectives.fgm import Fgm
from nlp_adapt.objectives.information_maximisation import InformationMaximisation
from nlp_adapt.objectives.iw_cdan import IwCdan
from nlp_adapt.objectives.iw_dann import IwDann
from nlp_adapt.objectives.lmmd import Lmmd
from nlp_adapt.objectives.mcc import Mcc
from nlp_adapt.objectives.mdd import Mdd
from nlp_adapt.objectives.mlm import Mlm
from nlp_adapt.objectives.mmd import Mmd
from nlp_adapt.objectives.pgd import Pgd
from nlp_adapt.objectives.self_training import SelfTraining
from nlp_adapt.objectives.task import TaskLoss
from nlp_adapt.objectives.vat import Vat
from nlp_adapt.objectives.wasserstein import Wasserstein

OBJECTIVES: dict[str, type[Objective]] = {
    "task": TaskLoss,
    "dann": Dann,
    "cdan": Cdan,
    "wasserstein": Wasserstein,
    "mdd": Mdd,
    "daln": Daln,
    "adda": Adda,
    "iw_dann": IwDann,
    "iw_cdan": IwCdan,
    "mmd": Mmd,
    "coral": Coral,
    "cmd": Cmd,
    "lmmd": Lmmd,
    "mcc": Mcc,
    "information_maximisation": InformationMaximisation,
    "entropy": Entropy,
    "mlm": Mlm,
    "domain_distinguish": DomainDistinguish,
    "self_training": SelfTraining,
    "consistency": Consistency,
    "distillation": Distillation,
    "fgm": Fgm,
    "pgd": Pgd,
    "vat": Vat,
    "auxiliary": Auxiliary,
}

__all__ = [
    "OBJECTIVES",
    "AuxiliarySpec",
    "Objective",
    "ObjectiveConfig",
    "Setup",
    "StepView",
    "build_objective",
    "objective_class",
]


def objective_class(name: str) -> type[Objective]:
    """The class of the objective `name`.

    Raises:
        ConfigError: If there is none.
    """
    if name not in OBJECTIVES:
        known = sorted(OBJECTIVES)
        raise ConfigError(
            f"unknown objective '{name}'{nearest(name, known)} (there are {', '.join(known)})"
        )
    return OBJECTIVES[name]


def build_objective(name: str, options: dict[str, object], setup: Setup) -> Objective:
    """Make the objective `name` with its options checked.

    Raises:
        ConfigError: If the name or an option is unknown, or a value has the wrong type.
    """
    kind = objective_class(name)
    return kind(kind.read_options(name, options), setup)
