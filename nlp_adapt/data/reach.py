"""Whether the Hub answers: without a network its clients go on trying for over a minute."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

SECONDS = 5.0
_KEPT = 60.0  # seconds that an answer holds: a run loads several things of the Hub at its start
_ANSWERS: dict[str, tuple[float, bool]] = {}  # by endpoint: until when, and whether it was reached


@contextlib.contextmanager
def offline_if_unreachable() -> Iterator[None]:
    """Ask the Hub once; where it does not answer, what is inside works from the local cache.

    The Hub's clients then raise `OfflineModeIsEnabled`, as under HF_HUB_OFFLINE=1.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or _answered(constants.ENDPOINT):
        yield
        return
    # datasets has a copy of its own, taken when it is imported.
    switches: list[Any] = [constants, *filter(None, [sys.modules.get("datasets.config")])]
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    try:
        for switch in switches:
            switch.HF_HUB_OFFLINE = True
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = was


def _answered(endpoint: str) -> bool:
    until, answer = _ANSWERS.get(endpoint, (0.0, False))
    if time.monotonic() >= until:
        answer = _answers(endpoint)
        _ANSWERS[endpoint] = time.monotonic() + _KEPT, answer
    return answer


def _answers(endpoint: str) -> bool:
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=SECONDS)
    except Exception:  # the HTTP library differs between versions of the client
        return False
    return True
