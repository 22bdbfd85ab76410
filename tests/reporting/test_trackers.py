"""Tracker runs: one for each model, under names that belong together, and what they are given."""

from types import SimpleNamespace

import pytest

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.reporting.trackers import close_trackers, log_scores, start_trackers
from tests.helpers.report_runs import classifier_results, write_run


class Tracker:
    def __init__(self, name, project, options):
        self.name, self.project, self.options = name, project, options
        self.config, self.lines, self.pages, self.ended = None, [], [], False

    def store_init_configuration(self, values):
        self.config = values

    def log(self, values, step=None):
        self.lines.append((step, values))

    def log_artifact(self, path):
        with open(path, encoding="utf-8") as file:
            self.pages.append(file.read())

    def finish(self):
        self.ended = True


class Accelerator(SimpleNamespace):
    def __init__(self, *names):
        super().__init__(log_with=list(names), trackers=[], is_main_process=True, every=[])

    def init_trackers(self, project, init_kwargs):
        (name,) = self.log_with
        self.trackers.append(Tracker(name, project, init_kwargs.get(name, {})))
        self.every += self.trackers

    def log(self, values, step=None):
        for tracker in self.trackers:
            tracker.log(values, step)

    def wait_for_everyone(self):
        pass


@pytest.fixture
def config(tmp_path):
    return AdaptationConfig(output_dir=str(tmp_path / "first"), project="demo")


def test_each_model_is_a_run_of_its_own(config):
    accelerator = Accelerator("wandb", "tensorboard", "mlflow")
    start_trackers(accelerator, config, "source_only")
    start_trackers(accelerator, config, "adapted")
    before, after = accelerator.every[:3], accelerator.every[3:]
    assert [one.ended for one in accelerator.every] == [True] * 3 + [False] * 3
    assert accelerator.trackers == after
    assert accelerator.log_with == ["wandb", "tensorboard", "mlflow"]
    for found, model in ((before, "source_only"), (after, "adapted")):
        wandb, tensorboard, mlflow = found
        assert (wandb.project, wandb.options) == (
            "demo", {"name": f"first-{model}", "group": "first"}
        )  # fmt: skip
        assert tensorboard.project == f"demo/first-{model}"
        assert mlflow.options == {"run_name": f"first-{model}"}
        assert wandb.config["trained"] == model
        assert tensorboard.config is None
        assert "learning_rate" in tensorboard.lines[0][1]["options"]


def test_a_run_may_have_a_name(tmp_path):
    accelerator = Accelerator("trackio")
    named = AdaptationConfig(output_dir=str(tmp_path), run_name="mine")
    start_trackers(accelerator, named, "adapted")
    (tracker,) = accelerator.trackers
    assert (tracker.project, tracker.options["name"]) == ("nlp_adapt", "mine-adapted")


def test_final_scores_have_the_names_of_the_results():
    accelerator = Accelerator("mlflow")
    accelerator.init_trackers("demo", {})
    log_scores(accelerator, classifier_results()["adapted"], 36)
    ((step, values),) = accelerator.trackers[0].lines
    assert step == 36
    assert values["target/macro_f1"] == pytest.approx(0.869, abs=1e-3)
    assert values["label_free/estimated_accuracy"] > 0.8
    assert all(isinstance(value, (int, float)) for value in values.values())


def test_the_report_goes_without_what_may_quote_rows(tmp_path):
    folder = write_run(tmp_path / "run", classifier_results())
    accelerator = Accelerator("mlflow")
    accelerator.init_trackers("demo", {})
    close_trackers(accelerator, folder)
    (tracker,) = accelerator.every
    (page,) = tracker.pages
    assert tracker.ended
    assert "<h2>Scores</h2>" in page
    assert "12 % are cut." not in page
    assert accelerator.trackers == []
