"""The data doctor's look at a run before it trains."""

from __future__ import annotations

import logging
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.doctor import NOTE, examine, refuse_serious
from nlp_adapt.training.inputs.domains import Inputs

logger = logging.getLogger(__name__)


def check_domains(
    config: AdaptationConfig, inputs: Inputs, tokenizer: Any, say: bool = True
) -> list[dict[str, Any]]:
    """Examine a run's domains; log what is found, where `say` is set.

    Returns:
        The findings as plain values, for results.json; empty where `data_doctor` is off.

    Raises:
        DataError: A finding is serious, and `data_doctor` is `refuse`.
    """
    if config.data_doctor == "off":
        return []
    limit = min(config.max_length, tokenizer.model_max_length)
    findings = examine(
        inputs.sources,
        inputs.targets,
        few_shot=inputs.few_shot,
        tokenizer=tokenizer,
        max_length=limit,
    )
    if config.data_doctor == "refuse":
        refuse_serious(findings)
    for finding in findings if say else ():
        logger.log(logging.INFO if finding.severity == NOTE else logging.WARNING, "%s", finding)
    return [finding.to_dict() for finding in findings]
