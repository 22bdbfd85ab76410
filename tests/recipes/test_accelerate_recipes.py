"""The launch files are ones that Accelerate reads, and sharded launches are refused."""

from pathlib import Path

import pytest
from accelerate import Accelerator
from accelerate.commands.config.config_args import load_config_from_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.training.accelerator import make_accelerator

FOLDER = Path(__file__).parents[2] / "recipes" / "accelerate"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_the_file(path):
    config = load_config_from_file(str(path))
    assert config.num_processes >= config.num_machines >= 1
    assert config.use_cpu is False
    assert f"`{path.name}`" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_a_sharded_launch_is_refused(kind, monkeypatch, tmp_path):
    monkeypatch.setattr(Accelerator, "distributed_type", kind)
    with pytest.raises(ConfigError, match=f"launched under {kind}"):
        make_accelerator(AdaptationConfig(output_dir=str(tmp_path), precision="fp32"))
