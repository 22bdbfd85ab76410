"""What users of transformers.Trainer ask of a trainer beside training."""

import json
import sys

import pytest

from nlp_adapt import AdaptationConfig, AdaptationTrainer
from nlp_adapt.errors import AdaptationError, ConfigError
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain, trainer_for


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    trainer = trainer_for(tmp_path_factory.mktemp("run"))
    trainer.train()
    return trainer


def test_results_are_a_dict_that_shows_itself(trained):
    results = trained.results
    assert json.loads(trained.folder.results.read_text()) == json.loads(json.dumps(results))
    assert "difference" in str(results)
    assert str(trained.folder.model) in str(results)
    page = results._repr_html_()
    assert page.count("<table>") >= 1
    assert "-&gt; tweets" in page


def test_names_of_others_break_no_html(trained):
    results = trained.results.copy()
    shown = type(trained.results)({**results, "model": "<script>\u001b[1m"}, "runs/<b>")
    assert "<script>" not in shown._repr_html_()
    assert "<b>" not in shown._repr_html_()
    assert "\u001b" not in str(shown)


def test_the_last_screen_is_printed_on_a_terminal_alone(trained, capsys, monkeypatch):
    trained.results.show()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    trained.results.show()
    assert "source-only" in capsys.readouterr().out


def test_the_state_is_the_log(trained):
    history = trained.state.log_history
    assert {line["model"] for line in history} == {"source_only", "adapted"}
    assert trained.state.global_step == 2
    assert trained.accelerator.is_main_process


def test_evaluate_without_data_scores_both_domains(trained):
    found = trained.evaluate()
    assert found["target"]["accuracy"] == trained.results["adapted"]["target"]["accuracy"]
    assert trained.evaluate(trained.target)["accuracy"] == found["target"]["accuracy"]
    assert trained.predict(trained.target) == trained.predict(trained.target.test["text"][:])


def test_there_is_nothing_to_score_before_training(tmp_path):
    for ask in ("evaluate", "predict"):
        with pytest.raises(AdaptationError, match=r"call train\(\) first"):
            getattr(trainer_for(tmp_path), ask)(["a text"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"train_dataset": []}, "unknown argument 'train_dataset': here it is source"),
        ({"tokenizer": None}, "unknown argument 'tokenizer': .*processing_class"),
        ({"data_collator": None}, "a batch pairs the rows of both domains"),
        ({"targets": None}, "did you mean 'target'"),
        ({"source": None}, "needs `source`"),
        ({"args": None}, "needs `args`"),
        ({"args": {}}, "args is a dict"),
    ],
)
def test_arguments_of_others_are_answered_with_ours(tmp_path, arguments, said):
    given = {
        "model": tiny_model("bert"),
        "args": AdaptationConfig(output_dir=str(tmp_path)),
        "source": toy_domain("reviews", 30),
        "processing_class": tiny_tokenizer(),
    }
    with pytest.raises(ConfigError, match=said):
        AdaptationTrainer(**{**given, **arguments})
