"""Toy runs with two sources, two targets and a few labelled target rows, of both tasks."""

import random

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain

TAGS = "token-classification"
# The adapted model alone, by as few rows and files as can be.
BRIEF = {
    "precision": "fp32",
    "per_device_train_batch_size": 5,
    "disable_tqdm": True,
    "logging_steps": 1,
    "data_doctor": "off",
    "compare_source_only": False,
    "eval_strategy": "no",
    "save_strategy": "no",
}
TAG_NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def tag_domain(name, first_word, rows=24, names=TAG_NAMES):
    """Sentences of 4 to 8 words that begin with an entity of two words."""
    rng = random.Random(name)
    sentences, tags = [], []
    for row in range(rows):
        length = rng.randint(4, 8)
        sentences.append([WORDS[first_word + rng.randrange(9)] for _ in range(length)])
        kind = 1 if row % 2 or len(names) < 5 else 3
        tags.append([kind, kind + 1] + [0] * (length - 2))
    places = [f"{name}:{row}" for row in range(rows)]
    dataset = make_dataset(TAGS, sentences, places, tags, names)
    return Domain(name, TAGS, train=dataset, test=dataset.select(range(7)))


def domains_of(task):
    """Two sources of unequal size, and two targets."""
    make = tag_domain if task == TAGS else toy_domain
    sources = [make("books", 30), make("films", 40, rows=37)]
    return sources, [make("tweets", 50), make("posts", 60, rows=31)]


def several_trainer(folder, task="sequence-classification", few_shot=2, **options):
    """A trainer with two sources, two targets and labelled rows of both targets."""
    defaults = {
        **BRIEF,
        "method": "dann",
        "output_dir": str(folder / "run"),
        "task": task,
        "max_steps": 3,
    }
    sources, targets = domains_of(task)
    if task == TAGS:
        model = tiny_model("bert", "TokenClassification", TAG_NAMES)
    else:
        model = tiny_model("bert")
    return AdaptationTrainer(
        model,
        AdaptationConfig(**{**defaults, **options}),
        sources,
        targets,
        target_few_shot=few_shot,
        processing_class=tiny_tokenizer(),
    )
