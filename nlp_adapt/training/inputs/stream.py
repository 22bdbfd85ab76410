"""A streamed target in a run: a sample of it as a `Domain`, and the stream for training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.data.reading.shards import find_shards
from nlp_adapt.data.streaming import TextStream
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.recipe import by_side

SAMPLE_TEXTS = 2000


@dataclass(frozen=True)
class TargetStream:
    """What the batches of a stage need to draw target rows from a stream."""

    texts: TextStream
    encode: Callable[[list[Any]], EncodedRows]
    max_length: int

    def options(self, seed: int) -> dict[str, Any]:
        """Options of `StreamedBatches` for a stage."""
        return {
            "stream": self.texts.with_seed(seed),
            "encode": self.encode,
            "max_length": self.max_length,
        }


def open_stream(reference: Any, config: AdaptationConfig) -> TextStream:
    """The stream that a reference names."""
    reading = by_side(vars(config), "target")  # a recipe says how, options alone do not
    return TextStream(
        find_shards(reference, config.task, reading["encoding"]),
        task=config.task,
        text_column=reading["text_column"],
        buffer=config.shuffle_buffer_size,
        seed=config.seed,
        quarantine=getattr(config, "quarantine", 0),
    )


def sample_domain(stream: TextStream, task: str, name: str) -> Domain:
    """The first texts of a stream, each once, as an unlabelled domain."""
    texts = stream.with_seed(stream.seed).first_texts(SAMPLE_TEXTS)
    rows = [f"{name}:{index}" for index in range(len(texts))]
    return Domain(name, task, unlabelled=make_dataset(task, texts, rows), reference=name)


def encode_with(
    task: Any, tokenizer: Any, max_length: int, domain: int = 1
) -> Callable[[list[Any]], EncodedRows]:
    """A function that tokenises texts as unlabelled rows of the target, the domain `domain`."""

    def encode(texts: list[Any]) -> EncodedRows:
        from datasets import Dataset

        column = "tokens" if task.name == TOKEN_CLASSIFICATION else "text"
        rows = task.encode(Dataset.from_dict({column: texts}), tokenizer, max_length)
        return rows.without_labels().in_domain(domain)

    return encode
