"""SIGTERM and Ctrl-C: finish the step, save, and leave with an exit code of their own."""

import signal
import threading
import time
from types import FrameType
from typing import Any

from nlp_adapt.errors import RunStopped
from nlp_adapt.launch import process_count

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Within it, a signal may be the one that this process had, passed on by its launcher.
_ECHO = 2.0  # seconds


class StopRequest:
    """Notes a request to stop while it is entered as a context.

    The first signal sets `received`; a second one acts as it did before, so that an impatient
    Ctrl-C still ends the program at once. A launcher passes on what it gets, such as `scancel`,
    which its processes had themselves: of signals within two seconds, one counts there. Off the
    main thread, where Python cannot install handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._first = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def stopped(self, steps: int) -> RunStopped:
        """What to raise once the run has saved after `steps` steps."""
        number = self.received or int(signal.SIGTERM)
        name = signal.Signals(number).name
        return RunStopped(
            f"stopped by {name} after step {steps}, and saved: run again with --resume to go on.",
            number,
        )

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if process_count() == 1:
            self._restore()
            return
        now = time.monotonic()
        self._first = self._first or now
        if now - self._first > _ECHO:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)
