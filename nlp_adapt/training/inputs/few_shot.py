"""Labelled rows of a target that the user releases for training, such as eight of each class.

They are the one way in which labels of a target reach training, so that others which give them away
are refused; validators and model selection still see none. Their texts are taken out of the target's
test rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np

from nlp_adapt.data.domain import Domain
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.names import label_key

SALT = 9  # part of the seed of the draw
FEWEST_TO_TELL = 10


def few_shot_domains(
    given: Any,
    targets: Sequence[Domain],
    names: Sequence[str],
    seed: int,
    load: Callable[[Any], Domain],
) -> dict[str, Domain]:
    """The released rows of each target, as training rows, by the name of the target.

    Args:
        given: A number of rows per class, a domain, a reference, or a mapping of targets to these.

    Raises:
        ConfigError: If it is not said which target the rows are from, or there is no such target.
        DataError: If rows are unlabelled or labelled otherwise, or there are too few to draw from.
    """
    if not targets:
        raise ConfigError("target_few_shot needs a target: set `target`, or leave it out.")
    known = [target.name for target in targets]
    if type(given) is not dict:
        if len(targets) > 1 and not isinstance(given, Integral):
            raise ConfigError(
                "target_few_shot names rows of one target, but there are several: write which, "
                f"{{{known[0]}: ...}}."
            )
        given = dict.fromkeys(known, given)
    for name in given:
        if name not in known:
            raise ConfigError(
                f"target_few_shot.{name}: there is no such target (there is {', '.join(known)})."
            )
    found = {}
    for target in targets:
        if target.name in given:
            rows = given[target.name]
            if isinstance(rows, Integral):  # numpy's too
                chosen = draw(target, rows if isinstance(rows, bool) else int(rows), seed)
            else:
                chosen = _labelled(rows if isinstance(rows, Domain) else load(rows))
            found[target.name] = chosen.with_labels(names)
    return found


def draw(target: Domain, size: int, seed: int) -> Domain:
    """`size` rows of each class, or `size` sentences, of a target's labelled training rows.

    Classes that these rows lack are left out.

    Raises:
        ConfigError: If `size` is not positive.
        DataError: If there are not as many.
    """
    if isinstance(size, bool) or size < 1:
        raise ConfigError(f"target_few_shot is {size}, but must be at least 1.")
    if target.train is None:
        raise DataError(
            f"target_few_shot: {target.name} has no labelled training rows to draw {size} from; "
            "name a labelled file instead."
        )
    generator = np.random.default_rng([seed, SALT])
    groups: dict[str, np.ndarray] = {"": np.arange(len(target.train))}
    if target.text_column == "text":
        labels = np.asarray(target.train[target.label_column][:])
        groups = {
            f" labelled {name}": np.flatnonzero(labels == index)
            for index, name in enumerate(target.label_names or ())
            if (labels == index).any()
        }
    chosen = []
    for what, rows in groups.items():
        if len(rows) < size:
            raise DataError(
                f"target_few_shot is {size}, but {target.name} has {len(rows)} training "
                f"row{'' if len(rows) == 1 else 's'}{what}: lower it, or name a labelled file."
            )
        chosen.append(generator.permutation(rows)[:size])
    rows = np.sort(np.concatenate(chosen))
    return replace(_bare(target), train=target.train.select(rows), reference=str(size))


def without_rows_of(target: Domain, few_shot: Domain) -> Domain:
    """The target, its test rows without those whose text is among the released ones."""
    if few_shot.train is None or target.test is None:
        return target
    released = {text_key(text) for text in few_shot.train[few_shot.text_column][:]}
    kept = [
        index
        for index, text in enumerate(target.test[target.text_column][:])
        if text_key(text) not in released
    ]
    if len(kept) == len(target.test):
        return target
    return replace(target, test=target.test.select(kept) if kept else None)


def text_key(text: str | Sequence[str]) -> str:
    """What makes two texts the same: their words, and their case in tagged ones."""
    return " ".join(text.casefold().split() if isinstance(text, str) else text)


def gives_away(rows: Domain, target: Domain, names: Sequence[str]) -> bool:
    """Whether rows of another task bring in a target's own labels, by whatever name.

    Labels of another kind on the target's text do not.

    Args:
        target: The target; it may have been read without its labels.
    """
    if rows.task != target.task:
        return False
    known = {label_key(name) for name in names}
    alike = {label_key(name) for name in rows.label_names or ()} <= known
    if alike and rows.reference == target.reference != "":
        return True
    own = dict(_labels_by_text(target))
    pairs = [
        pair
        for text, labels in _labels_by_text(rows)
        if len(own.get(text, ())) == len(labels)
        for pair in zip(labels, own[text], strict=True)
    ]
    if len({label for _, label in pairs}) < 2:
        return False
    # Of n rows in k classes, n - k could have differed; where these are few it may be chance.
    could_differ = len(pairs) - len({label for label, _ in pairs})
    same = all(ours == theirs for ours, theirs in pairs)
    return same or (could_differ >= FEWEST_TO_TELL and _determines(pairs))


def is_renaming(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the first labels of these pairs are the second under other names."""
    return _determines(pairs) and _determines([(theirs, ours) for ours, theirs in pairs])


def _determines(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the first label of a pair leaves no choice for the second."""
    meant: dict[str, str] = {}
    return all(meant.setdefault(ours, theirs) == theirs for ours, theirs in pairs)


def _labels_by_text(domain: Domain) -> Iterator[tuple[str, list[str]]]:
    """Keys of each text and of its labels, of which tagged ones have one a word."""
    keys = [label_key(name) for name in domain.label_names or ()]
    for split in (domain.train, domain.validation, domain.test):
        if split is not None:
            texts, labels = split[domain.text_column][:], split[domain.label_column][:]
            for text, label in zip(texts, labels, strict=True):
                indices = label if isinstance(label, list) else [label]
                yield text_key(text), [keys[index] for index in indices]


def _labelled(domain: Domain) -> Domain:
    """All rows of a reference as training rows."""
    from datasets import concatenate_datasets

    where = f"target_few_shot {domain.reference}"
    parts = [part for part in (domain.train, domain.validation, domain.test) if part]
    if not parts:
        raise DataError(f"{where}: has no labels to learn from; name a labelled file.")
    if domain.unlabelled:
        places = domain.unlabelled["row"][:]
        listed = ", ".join(places[:3]) + (", ..." if len(places) > 3 else "")
        raise DataError(
            f"{where}: {len(places)} row{'' if len(places) == 1 else 's'} without a label "
            f"({listed}); label them, or take them out."
        )
    return replace(_bare(domain), train=concatenate_datasets(parts))


def _bare(domain: Domain) -> Domain:
    return replace(domain, train=None, validation=None, test=None, unlabelled=None)
