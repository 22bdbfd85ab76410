"""Who asks for sharded training, and what is refused under it."""

import pytest

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.sharding import Sharding, requested_sharding

LAUNCHED = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "WORLD_SIZE": "2"}


@pytest.fixture
def launch(monkeypatch):
    """Sets what a launcher would set."""

    def set_all(**values):
        for name, value in {**LAUNCHED, **values}.items():
            monkeypatch.setenv(name, value)

    return set_all


def test_nobody_asks(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert requested_sharding(AdaptationConfig()) is None


def test_the_option_asks_where_there_are_several_processes(monkeypatch):
    config = AdaptationConfig(fsdp=True)
    assert requested_sharding(config) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert requested_sharding(config) == Sharding(by_layer=True, reshard_after_forward=True)


def test_the_launcher_asks_and_says_how(launch):
    launch(FSDP_AUTO_WRAP_POLICY="TRANSFORMER_BASED_WRAP", FSDP_RESHARD_AFTER_FORWARD="false")
    expected = Sharding(by_layer=True, reshard_after_forward=False)
    assert requested_sharding(AdaptationConfig()) == expected
    launch(FSDP_AUTO_WRAP_POLICY="NO_WRAP", FSDP_RESHARD_AFTER_FORWARD="true")
    assert not requested_sharding(AdaptationConfig()).by_layer


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("FSDP_VERSION", "1", "set fsdp_version: 2, as in recipes/accelerate/fsdp2.yaml"),
        ("FSDP_AUTO_WRAP_POLICY", "SIZE_BASED_WRAP", "fsdp_auto_wrap_policy is SIZE_BASED_WRAP"),
        ("FSDP_OFFLOAD_PARAMS", "true", "set fsdp_offload_params: false"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "gradient_checkpointing in the recipe instead"),
        ("FSDP_IGNORED_MODULES", "classifier", "fsdp_ignored_modules"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "take parallelism_config out"),
    ],
)
def test_what_a_launcher_may_not_ask_for(launch, tmp_path, name, value, said):
    launch(**{name: value})
    with pytest.raises(ConfigError, match=said):
        make_accelerator(AdaptationConfig(output_dir=str(tmp_path), precision="fp32"))


def test_a_compiled_encoder_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torch_compile does not go with FSDP"):
        requested_sharding(AdaptationConfig(fsdp=True, torch_compile=True))
