"""`nlp-adapt predict` of which process 1 dies after its first part, while the other waits for it."""

import os
import signal
import sys
import time

from nlp_adapt.cli import main
from nlp_adapt.prediction.files.parts import Parts

if __name__ == "__main__":
    plain = Parts.write

    def write(self, number, *rest):
        plain(self, number, *rest)
        if os.environ["RANK"] == "1":
            time.sleep(3)
            os.kill(os.getpid(), signal.SIGKILL)

    Parts.write = write
    sys.exit(main())
