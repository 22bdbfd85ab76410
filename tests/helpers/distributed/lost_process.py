"""A run in which process 1 dies (KILL) or stalls (STOP) in its third step."""

import os
import signal
import sys
from pathlib import Path

from accelerate import PartialState

from nlp_adapt.errors import RunError
from nlp_adapt.training import loop as loop_module
from tests.helpers.distributed.scenarios import SHARED
from tests.helpers.trainers import trainer_for


def main(folder, name):
    """Train; what process 0 says goes to stderr."""
    original = loop_module.StageLoop._forward_backward

    def lost(self, batches):
        if self.step == 2 and self.accelerator.process_index == 1:
            os.kill(os.getpid(), getattr(signal, f"SIG{name}"))
        return original(self, batches)

    loop_module.StageLoop._forward_backward = lost
    options = {**SHARED, "max_steps": 6, "ddp_timeout": 10, "compare_source_only": False}
    try:
        trainer_for(folder, **options).train()
    except RunError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(3)
    assert PartialState().process_index == 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
