"""A tracker that keeps what it is given."""

from accelerate.tracking import GeneralTracker


class Recorder(GeneralTracker):
    """Keeps options and lines."""

    name = "recorder"
    requires_logging_directory = False
    tracker = None

    def __init__(self):
        self.hyperparameters, self.lines, self.finished = {}, [], False
        super().__init__()

    def store_init_configuration(self, values):
        self.hyperparameters = values

    def log(self, values, step=None, **options):
        self.lines.append((step, values))

    def finish(self):
        self.finished = True
