"""The processes that a launcher (torchrun, accelerate) has started, and how all end if one cannot go on."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from nlp_adapt.errors import RunError


def process_index() -> int:
    """Number of this process over all machines, from 0."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """How many processes the launcher has started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process is the one that reports and writes."""
    return process_index() == 0


def from_main_process(value: Any) -> Any:
    """The main process's `value`, on every process."""
    if process_count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    values = [value]
    broadcast_object_list(values)
    return values[0]


@contextmanager
def held_by_main(held: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Inside, the main process holds what all of them need, such as a lock.

    Raises:
        RunError: In every process the same, if the main one cannot get it.
    """
    with ExitStack() as stack:
        refusal = None
        try:
            if is_main_process():
                stack.enter_context(held())
        except RunError as error:
            refusal = error
        said = from_main_process(None if refusal is None else str(refusal))
        if said is not None:
            raise refusal or RunError(said)
        yield


@contextmanager
def naming_lost_processes(advice: str, place: Callable[[], str] = str) -> Iterator[None]:
    """Inside, a collective that fails says that another process is gone.

    Args:
        advice: What to do then.
        place: Where this process stood, such as ` after step 3`.
    """
    try:
        yield
    except RuntimeError as error:
        if process_count() == 1 or not _is_lost_contact(error):
            raise
        reason = str(error).strip().splitlines()[0]
        raise RunError(
            f"process {process_index()} lost another process{place()} ({reason}); see what the "
            f"other one said, then {advice}."
        ) from error


def _is_lost_contact(error: RuntimeError) -> bool:
    """Whether a collective failed because another process is gone or silent."""
    from torch.distributed import DistError

    signs = ("gloo", "connection closed", "timed out", "timeout", "nccl")
    return isinstance(error, DistError) or any(sign in str(error).lower() for sign in signs)
