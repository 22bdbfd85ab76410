"""Memory that the C library keeps instead of giving it back to the system after every tensor.

Each step on a CPU allocates and frees the same hundreds of megabytes. By default glibc maps every
large block anew, and the system hands it over page by page, each filled with zeros first: up to a
tenth of a step's time.
"""

from __future__ import annotations

import ctypes
from functools import cache

# From glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4


@cache
def keep_freed_memory() -> bool:
    """From now on this process reuses what it frees; its memory stays at its highest mark.

    Other C libraries, and allocators that are preloaded in the place of glibc's, go their own way.

    Returns:
        Whether glibc took the settings.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
