"""The processes that a launcher (torchrun, accelerate) has started, and how all end if one cannot go on."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from typing import Any

from nlp_adapt.errors import RunError, first_line

_STORE_ANSWERS = timedelta(seconds=5)


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


class LostProcessError(RunError):
    """A collective failed because another process is gone."""


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
def naming_lost_processes(place: Callable[[], str] = str) -> Iterator[None]:
    """Inside, a collective that fails says that another process is gone.

    Args:
        place: Where this process stood, such as ` after step 3`.
    """
    try:
        yield
    except RuntimeError as error:
        if process_count() == 1 or not _is_lost_contact(error):
            raise
        raise LostProcessError(
            f"process {process_index()} lost another process{place()} ({first_line(error)}); see what the "
            "other one said, then run again with --resume."
        ) from error


def is_hearsay(error: BaseException) -> bool:
    """Whether what ended this process only follows from the end of another one."""
    stopped_or_lost = isinstance(error, (KeyboardInterrupt, LostProcessError))
    return stopped_or_lost or (isinstance(error, RuntimeError) and _is_lost_contact(error))


def reason_of_all(said: str, code: int, *, hearsay: bool) -> tuple[str, int]:
    """The words and exit code with which each process ends: those of the first with its own reason.

    The reason is left in the launcher's store, which outlives the processes. Without one each
    process says what it knows.

    Args:
        said: What this process would print.
        code: Its exit code.
        hearsay: See `is_hearsay`.
    """
    from torch.distributed import TCPStore

    key = f"nlp_adapt/reason/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    try:
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(*address, timeout=_STORE_ANSWERS, wait_for_workers=False)
        if not hearsay:
            told = said
            if code == 1:  # a traceback, of which one is enough
                last = said.strip().splitlines()[-1]
                told = f"nlp-adapt: error: process {process_index()} failed: {last}"
            store.compare_set(key, "", json.dumps([told, code]))
        elif store.check([key]):
            said, code = json.loads(store.get(key))
    except (KeyError, ValueError, RuntimeError):
        pass
    return said, code


def _is_lost_contact(error: RuntimeError) -> bool:
    """Whether a collective failed because another process is gone or silent."""
    from torch.distributed import DistError

    signs = ("gloo", "connection closed", "timed out", "timeout", "nccl")
    return isinstance(error, DistError) or any(sign in str(error).lower() for sign in signs)
