"""An objective of the user's own: named by its path, trained, saved and continued like any other."""

import json
import sys

import pytest
from safetensors import safe_open

from nlp_adapt.errors import ConfigError
from nlp_adapt.objectives import Objective, objective_class
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.trainers import toy_domain, trainer_for

SOURCE = """
import torch
from nlp_adapt.objectives import Objective, ObjectiveConfig

class Gap(Objective):
    summary = "equal means of a learnt view of the features"

    def __init__(self, config, setup):
        super().__init__(config, setup)
        self.view = torch.nn.Linear(setup.features, 2)

    def losses(self, source, target, progress):
        gap = self.view(source.features).mean(0) - self.view(target.features).mean(0)
        return {"gap": gap.square().sum()}

something = 3
"""
NAME = "own_losses.gaps:Gap"


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    folder = tmp_path / "path" / "own_losses"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "gaps.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(folder.parent))
    yield
    for name in [name for name in sys.modules if name.startswith("own_losses")]:
        del sys.modules[name]


def test_it_is_found_by_its_path():
    assert issubclass(objective_class(NAME), Objective)


def test_the_class_itself_stands_for_its_path(tmp_path):
    options = {"stages": [{"objectives": {"task": {}, objective_class(NAME): {"weight": 0.1}}}]}
    trainer = trainer_for(tmp_path, **options)
    assert trainer.args.stages == [{"objectives": {"task": {}, NAME: {"weight": 0.1}}}]


def test_a_class_that_nothing_can_import_is_refused(tmp_path):
    class Local(Objective):
        pass

    with pytest.raises(ConfigError, match="Local is defined inside a function"):
        trainer_for(tmp_path, stages=[{"objectives": {"task": {}, Local: {}}}])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("own_losses.gap:Gap", "ModuleNotFoundError"),
        ("own_losses.gaps:Gape", "AttributeError"),
        ("own_losses.gaps:something", "is no objective"),
        ("own_losses.gaps", "package.module:Class"),
    ],
)
def test_what_is_wrong_with_a_path_is_said(name, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        objective_class(name)
    assert name in str(caught.value)


def test_a_run_trains_it_in_two_stages_and_another_goes_on_from_it(tmp_path):
    stages = [
        {"objectives": {"task": {}, NAME: {"weight": 0.1}}, "steps": 2},
        {"objectives": {"task": {}, NAME: {}}, "steps": 2},
    ]
    options = {"stages": stages, "compare_source_only": False, "data_doctor": "off"}
    trainer = trainer_for(tmp_path, max_steps=-1, options={NAME: {"weight": 0.2}}, **options)
    trainer.train()
    folder = tmp_path / "run"
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert sum("gap" in line for line in lines) == 4
    with safe_open(folder / "adaptation" / "objectives.safetensors", "pt") as saved:
        assert set(saved.keys()) == {
            "own_losses_gaps:Gap.view.weight",
            "own_losses_gaps:Gap.view.bias",
        }
        weight = saved.get_tensor("own_losses_gaps:Gap.view.weight")
    args = trainer.args
    args.output_dir, args.stages, args.learning_rate = str(tmp_path / "next"), stages[:1], 0.0
    args.discriminator_learning_rate = args.head_learning_rate = 0.0
    later = AdaptationTrainer.from_pretrained(
        folder, args, toy_domain("reviews", 30), toy_domain("tweets", 50)
    )
    later.train()
    assert later.objectives["own_losses_gaps:Gap"].view.weight.equal(weight)


def test_an_option_outside_of_its_range_is_refused_by_its_path(tmp_path):
    with pytest.raises(ConfigError, match=r"own_losses.gaps:Gap' has no option 'size'"):
        trainer_for(tmp_path, stages=[{"objectives": {"task": {}, NAME: {"size": 1}}}])
