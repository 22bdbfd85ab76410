"""Which process this is, among those that a launcher (torchrun, accelerate) has started."""

import os


def process_index() -> int:
    """Number of this process over all machines, from 0."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """How many processes the launcher has started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process is the one that reports and writes."""
    return process_index() == 0
