"""`nlp-adapt train` that process 0 ends after a step (FAILS, FAULT), or ends slowly (SLOW)."""

import os
import signal
import sys
import time

from nlp_adapt.cli import main
from nlp_adapt.errors import DataError
from nlp_adapt.training.loop import StageLoop
from nlp_adapt.training.saving.signals import StopRequest

SENTENCE = "tweets.csv: row 3 has gone: give the file again."
ENDS = {"FAILS": DataError(SENTENCE), "FAULT": IndexError("no row 3")}


def break_process_0(how):
    original = StageLoop._forward_backward

    def broken(self, batches):
        if self.step == 1:
            if how in ENDS and self.accelerator.process_index == 0:
                raise ENDS[how]
            if how == "SLOW" and self.accelerator.process_index == 1:
                os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batches)

    StageLoop._forward_backward = broken


def slow_to_leave():
    """Long enough for the launcher to see that process 1 has ended, and to send SIGTERM."""
    original = StopRequest.__exit__

    def slow(self, *exception):
        original(self, *exception)
        time.sleep(5)

    StopRequest.__exit__ = slow


if __name__ == "__main__":
    break_process_0(sys.argv[1])
    if sys.argv[1] == "SLOW" and os.environ["RANK"] == "0":
        slow_to_leave()
    sys.exit(main(sys.argv[2:]))
