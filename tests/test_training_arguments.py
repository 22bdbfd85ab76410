"""`transformers.TrainingArguments` are taken by name, or refused with a reason."""

import dataclasses

import pytest
from transformers import EarlyStoppingCallback, TrainingArguments

from nlp_adapt import AdaptationConfig, Recipe
from nlp_adapt.errors import ConfigError
from nlp_adapt.training.trainer import AdaptationTrainer
from nlp_adapt.training_arguments import answer
from nlp_adapt.usual_names import USUAL_NAMES
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain

KNOWN = [field.name for field in dataclasses.fields(AdaptationConfig)]


def config_of(tmp_path, **options):
    arguments = TrainingArguments(output_dir=str(tmp_path), **options)
    return AdaptationConfig.from_training_arguments(arguments)


def test_defaults_are_ours(tmp_path):
    assert config_of(tmp_path) == AdaptationConfig(output_dir=str(tmp_path))


def test_what_is_set_is_taken_over(tmp_path):
    config = config_of(
        tmp_path,
        learning_rate=3e-5,
        weight_decay=0.1,
        lr_scheduler_type="cosine",
        optim="sgd",
        optim_args="momentum=0.9,nesterov=True",
        eval_strategy="steps",
        eval_steps=0.25,
        load_best_model_at_end=True,
        save_strategy="steps",
        save_steps=0.25,
        report_to=["tensorboard"],
        gradient_checkpointing=True,
        seed=7,
        use_cpu=True,
    )
    assert (config.learning_rate, config.weight_decay, config.seed) == (3e-5, 0.1, 7)
    assert (config.lr_scheduler_type, config.optim) == ("cosine", "sgd")
    assert config.optim_args == {"momentum": 0.9, "nesterov": True}
    assert (config.eval_strategy, config.eval_steps, config.save_steps) == ("steps", 0.25, 0.25)
    assert config.load_best_model_at_end
    assert config.metric_for_best_model == "label_free"
    assert config.report_to == ["tensorboard"]
    assert config.gradient_checkpointing
    assert config.use_cpu


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataloader_num_workers": 2}, "dataloader_num_workers is 2, but rows are tokenised"),
        ({"neftune_noise_alpha": 5.0}, "noise on embeddings is an objective"),
        ({"hub_token": "x"}, "log in with `hf auth login`"),
        ({"save_only_model": True}, "takes the optimizer's state too"),
        ({"optim": "lion_32bit"}, "optim is 'lion_32bit', but must be one of"),
        ({"metric_for_best_model": "accuracy", "load_best_model_at_end": True,
          "eval_strategy": "steps"}, "unknown validator 'accuracy'"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_here_is_refused_with_the_reason(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        trainer(tmp_path, TrainingArguments(output_dir=str(tmp_path), **options))


def trainer(tmp_path, arguments, **more):
    return AdaptationTrainer(
        tiny_model("bert"),
        arguments,
        toy_domain("reviews", 30),
        toy_domain("tweets", 50),
        processing_class=tiny_tokenizer(),
        **more,
    )


def test_a_trainer_takes_them(tmp_path):
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "run"), max_steps=2, eval_strategy="steps", eval_steps=1,
        per_device_train_batch_size=4, disable_tqdm=True,
    )  # fmt: skip
    made = trainer(tmp_path, arguments, callbacks=[EarlyStoppingCallback(5)])
    assert made.train()["adapted"]["steps"] == 2


def test_every_argument_has_an_answer():
    for field in dataclasses.fields(TrainingArguments):
        assert answer(field.name, KNOWN) != "there is no such option here", field.name


@pytest.mark.parametrize(
    "name", [one.name for one in dataclasses.fields(TrainingArguments) if one.name not in KNOWN]
)
def test_a_keyword_of_trainers_is_refused_with_the_same_reason(name):
    with pytest.raises(ConfigError) as refused:
        AdaptationConfig(**{name: 1})
    said = str(refused.value).removeprefix(f"AdaptationConfig: unknown option '{name}': ")
    assert said in (USUAL_NAMES[name], f"here it is {USUAL_NAMES[name]}")


def test_no_reason_is_given_for_what_there_is():
    assert not {*USUAL_NAMES} & {*KNOWN}


def test_help_describes_every_option():
    for kind in (AdaptationConfig, Recipe):
        for field in dataclasses.fields(kind):
            assert f" {field.name}: {field.metadata['help'][:20]}" in kind.__doc__
