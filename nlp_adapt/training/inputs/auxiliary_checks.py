"""Labels that an auxiliary task cannot use: too few, of one class, or a target's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from nlp_adapt.data.domain import Domain
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.names import label_key
from nlp_adapt.training.inputs.auxiliary_entries import FEWEST_ROWS
from nlp_adapt.training.inputs.few_shot import text_key

MOST_CLASSES = 50


def check_classes(where: str, labels: Sequence[str], rows: int) -> None:
    """Refuse labels that nothing can be learned from.

    Args:
        where: The entry, for messages.
        labels: The labels of all training rows (or of their words).
        rows: How many rows these are.

    Raises:
        DataError: With the reason.
    """
    if rows < FEWEST_ROWS:
        raise DataError(
            f"{where}: has {rows} labelled training row{'' if rows == 1 else 's'}, but needs at "
            f"least {FEWEST_ROWS}."
        )
    classes = {label_key(label) for label in labels}
    if len(classes) < 2:
        raise DataError(
            f'{where}: every training row is labelled "{labels[0]}": an auxiliary task needs at '
            "least two classes."
        )
    if len(classes) > max(MOST_CLASSES, rows // 2):
        raise DataError(
            f"{where}: {len(classes)} different values in {rows} rows do not look like classes: "
            "name another label_column, or sort them into classes with label_map."
        )


def refuse_target_labels(
    where: str, rows: Domain, targets: Sequence[Domain], names: Collection[str]
) -> None:
    """Refuse rows that bring in a target's own labels, by whatever name.

    Labels of another kind on the target's text are welcome; ones that give its own labels away are
    not.

    Args:
        where: The entry, for messages.
        rows: The rows of an auxiliary task.
        targets: The run's targets; some may have been read without their labels.
        names: The run's label names.

    Raises:
        ConfigError: If they do.
    """
    known = {label_key(name) for name in names}
    alike = {label_key(name) for name in rows.label_names or ()} <= known
    for target in targets:
        same_file = alike and rows.task == target.task and rows.reference == target.reference != ""
        pairs = list(_shared_labels(rows, target))
        if same_file or (pairs and _gives_away(pairs)):
            raise ConfigError(
                f"{where}: its labels of {target.name} give away the run's own labels there, which "
                "are never trained on; release a few with target_few_shot instead."
            )


def _shared_labels(rows: Domain, target: Domain) -> Iterator[tuple[str, str]]:
    """(auxiliary label, target label) of each text that both have (of its words, for tags)."""
    if rows.task != target.task:
        return
    theirs = dict(_labels_by_text(target))
    for text, labels in _labels_by_text(rows):
        if len(theirs.get(text, ())) == len(labels):
            yield from zip(labels, theirs[text], strict=True)


def _labels_by_text(domain: Domain) -> Iterator[tuple[str, list[str]]]:
    names = domain.label_names or ()
    for split in (domain.train, domain.validation, domain.test):
        if split is None:
            continue
        for text, label in zip(
            split[domain.text_column][:], split[domain.label_column][:], strict=True
        ):
            yield (
                text_key(text),
                [names[i] for i in (label if isinstance(label, list) else [label])],
            )


def _gives_away(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether labels are the target's own, or tell them without fail."""
    if len({label_key(theirs) for _, theirs in pairs}) < 2:
        return False
    if all(label_key(ours) == label_key(theirs) for ours, theirs in pairs):
        return True
    # Of n rows in k classes, n - k could have differed; with fewer than this it may be chance.
    classes = {label_key(ours) for ours, _ in pairs}
    return _determines(pairs) and len(pairs) - len(classes) >= FEWEST_ROWS


def is_renaming(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the first labels are the second under other names."""
    return _determines(pairs) and _determines([(theirs, ours) for ours, theirs in pairs])


def _determines(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the first label of a pair leaves no choice for the second."""
    meant: dict[str, str] = {}
    return all(
        meant.setdefault(label_key(ours), label_key(theirs)) == label_key(theirs)
        for ours, theirs in pairs
    )
