"""A recipe that fits two domains, with a comment on each choice: a start to read and to change."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_adapt.data.domain import Domain
from nlp_adapt.data.label_proposal import propose_label_map
from nlp_adapt.data.label_spaces import compare_labels, kinds_of, listed_counts
from nlp_adapt.escaping import one_line
from nlp_adapt.names import TOKEN_CLASSIFICATION, counted
from nlp_adapt.yaml_text import inline_yaml

Line = tuple[str, Any, str]  # key, value, comment; without a key the comment stands alone

SHORTEST, LONGEST = 32, 512
SAMPLE = 2_000
COMMENT_COLUMN = 34


def propose(
    source: Domain,
    target: Domain,
    target_test: Domain | None = None,
    *,
    given: Mapping[str, Any],
    label_map: Mapping[str, str] | None = None,
    tokenizer: Any = None,
) -> list[Line]:
    """The lines of a recipe that fits the data.

    `given` holds the keys that name the model and the data; `label_map` what the domains were read
    with; `target_test` the labelled rows of the target, where they stand elsewhere. Without a tokenizer, words tell how long the texts are.
    """
    comments = {
        "model": "any Hub id or local folder; a larger one is often the best change",
        "source": _describe(source),
        "target": _describe(target),
        "target_test": "only ever evaluated",
    }
    name = f"{source.name}-to-{target.name}".replace("/", "-").replace(":", "-")
    lines: list[Line] = [
        ("", None, f"{source.name} to {target.name}, written by `nlp-adapt init`."),
        ("task", source.task, ""),
        *((key, value, comments.get(key, "")) for key, value in given.items() if value),
        *_label_map(source, target_test or target, label_map or {}),
        ("output_dir", f"runs/{name}", ""),
        ("", None, ""),
        ("method", "auto", "for a first try; `nlp-adapt methods` lists the others"),
        *_sizes(source, *_length(source, target, tokenizer)),
    ]
    remarks: list[str] = []
    if not (target_test or target).label_names:
        remarks += [
            "",
            "The target has no labels: nothing tells how good the result is there. A",
            "few hundred labelled rows are worth having: name them with target_test.",
        ]
    each = "sentences" if source.task == TOKEN_CLASSIFICATION else "rows of each class"
    few = f"target_few_shot: 16 trains on 16 labelled {each} of the target"
    if target.train is None:
        few = "target_few_shot: FILE trains on a few labelled rows of the target"
    remarks += [
        "",
        "More labels? sources: {name: file, other: file}, in the place of source, and",
        f"{few}, if you release them.",
    ]
    return lines + [("", None, remark) for remark in remarks]


def as_recipe(lines: list[Line]) -> str:
    """The lines as YAML; comments are one line of plain text whatever the data holds."""
    written = []
    for key, value, comment in lines:
        text = f"{key}: {inline_yaml(value)}" if key else ""
        if key and comment:
            text = f"{text:<{COMMENT_COLUMN}}  "
        written.append(f"{text}# {one_line(comment)}" if comment else text)
    return "\n".join(line.rstrip() for line in written) + "\n"


def _describe(domain: Domain) -> str:
    labelled = sum(len(rows) for name, rows in domain.splits.items() if name != "unlabelled")
    raw = 0 if domain.unlabelled is None else len(domain.unlabelled)
    listed = listed_counts(domain, most=8)
    parts = [f"{counted(labelled, 'labelled row')}: {listed}"] if labelled else []
    parts += [f"{counted(raw, 'row')} without labels"] if raw else []
    return "; ".join(parts)


def _label_map(source: Domain, target: Domain, given: Mapping[str, str]) -> list[Line]:
    space = compare_labels(source, target)
    if not space.target_only:
        return [("label_map", given, "")] if given else []
    proposal = propose_label_map(kinds_of(source), (*space.shared, *space.target_only))
    if not proposal:
        alone = ", ".join(space.target_only)
        remark = f"label_map: say what these labels of the target mean: {alone}"
        return [*([("label_map", given, "")] if given else []), ("", None, remark)]
    what = "from the labels alone: CHECK it; ignore leaves rows or types out"
    return [("label_map", {**given, **proposal}, what)]


def _sizes(source: Domain, longest: int, measured: str) -> list[Line]:
    tagging = source.task == TOKEN_CLASSIFICATION
    rows = 0 if source.train is None else len(source.train)
    epochs = 5 if rows < 1_000 else 3 if rows < 20_000 else 1
    batch = 32 if longest <= 128 else 16 if longest <= 256 else 8
    why = "read in overlapping windows" if tagging else "cut"
    return [
        ("num_train_epochs", epochs, counted(rows, "training row")),
        ("per_device_train_batch_size", batch, "of each domain; lower it if memory runs out"),
        ("learning_rate", 1e-4 if tagging else 5e-5, "2e-5 for large models"),
        ("max_length", longest, f"{measured} 95% of the rows; longer ones are {why}"),
        *([("eval_strategy", "epoch", "")] if rows < 1_000 else []),
    ]


def _length(source: Domain, target: Domain, tokenizer: Any) -> tuple[int, str]:
    """Tokens that hold 95 % of the rows, rounded up, and how that was found out."""
    texts = [text for domain in (source, target) for text in _sample(domain)]
    if tokenizer is None:  # words are a fair guess
        words = (text if isinstance(text, list) else text.split() for text in texts)
        lengths, measured, limit = [len(row) * 4 // 3 + 2 for row in words], "holds about", LONGEST
    else:
        joined = [" ".join(text) if isinstance(text, list) else text for text in texts]
        encoded = tokenizer(joined, verbose=False)["input_ids"]
        lengths, measured = [len(ids) for ids in encoded], "holds"
        limit = min(LONGEST, tokenizer.model_max_length)
    needed = int(np.quantile(lengths, 0.95))
    return min(limit, max(SHORTEST, -(-needed // 16) * 16)), measured


def _sample(domain: Domain) -> list[Any]:
    rows = [text for part in domain.splits.values() for text in part[domain.text_column][:]]
    return rows[:: max(1, len(rows) // SAMPLE)]
