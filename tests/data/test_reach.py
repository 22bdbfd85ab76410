"""A Hub out of reach is asked once, and names that can be none of the Hub's never."""

import pytest
from huggingface_hub import constants

from nlp_adapt.data import reach
from nlp_adapt.data.loading import load_domain
from nlp_adapt.errors import DataError, ModelError
from nlp_adapt.modeling.backbone import model_config

NOBODY = "http://127.0.0.1:9"  # discard: nothing listens there


@pytest.fixture
def asked(monkeypatch):
    """How often the Hub was asked whether it answers; it does not."""
    import datasets.config

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", NOBODY)
    monkeypatch.setattr(reach, "_ANSWERS", {})
    found, answers = [], reach._answers
    monkeypatch.setattr(reach, "_answers", lambda end: found.append(end) or answers(end))
    yield found
    assert not constants.HF_HUB_OFFLINE
    assert not datasets.config.HF_HUB_OFFLINE


def test_what_is_inside_works_offline(asked):
    with reach.offline_if_unreachable():
        assert constants.is_offline_mode()
        with reach.offline_if_unreachable():
            assert constants.is_offline_mode()
    assert asked == [NOBODY]


def test_data_and_models_are_given_up_after_one_question(asked):
    with pytest.raises(DataError, match="nobody/none is no file or folder here, and the Hub"):
        load_domain("nobody/none")
    with pytest.raises(ModelError, match="nor in the local cache, and the Hub cannot be reached"):
        model_config("nobody/none")
    assert asked == [NOBODY]


def test_an_answer_holds_for_a_minute(asked, monkeypatch):
    for now, questions in ((100.0, 1), (159.0, 1), (161.0, 2)):
        monkeypatch.setattr(reach.time, "monotonic", lambda now=now: now)
        with reach.offline_if_unreachable():
            assert constants.is_offline_mode()
        assert len(asked) == questions


@pytest.mark.parametrize(
    "name",
    ["data/none.csv", "none.jsonl.gz", "none.xls", "my/notes.zip", "a/b.conllu", "data/none/"],
)
def test_a_name_of_a_file_is_never_looked_up(asked, name):
    with pytest.raises(DataError, match="does not exist"):
        load_domain(name)
    assert asked == []
