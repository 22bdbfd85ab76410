"""Token tags: recognising BIO, IOB1, BIOES, BILOU and IO, and reading any of them as BIO2."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from nlp_adapt.data.labels import IGNORE, LabelMap, as_yaml
from nlp_adapt.data.reading.rows import Table
from nlp_adapt.data.tag_forms import other_forms
from nlp_adapt.errors import DataError
from nlp_adapt.names import OUTSIDE, counted, were

_PREFIXES = frozenset("BIELSU")
_CLOSED_SCHEMES = ("BIOES", "BILOU")  # those that mark where an entity ends


def split_tag(tag: str) -> tuple[str, str]:
    """Split prefix and type: B-geo-loc gives ("B", "geo-loc"), O ("O", ""), a bare PER ("", "PER")."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, hyphen, kind = tag.partition("-")
    return (prefix, kind) if hyphen and prefix in _PREFIXES else ("", tag)


def detect_scheme(sequences: Iterable[Sequence[str]]) -> str:
    """Recognise the tagging scheme of a whole file.

    B- and I- alone may mean BIO2, or IOB1, where B- only separates two adjacent entities: the
    scheme that fewer tags break wins, BIO2 on a tie. I- without any B- is IO.

    Returns:
        "BIO", "IOB1", "BIOES", "BILOU" or "IO".
    """
    prefixes: set[str] = set()
    breaks_bio = breaks_iob1 = 0
    for sequence in sequences:
        before = (OUTSIDE, "")
        for tag in sequence:
            prefix, kind = split_tag(tag)
            prefixes.add(prefix)
            breaks_bio += prefix == "I" and before[1] != kind
            breaks_iob1 += prefix == "B" and before[1] != kind
            before = (prefix, kind)
    scheme = _scheme_of(prefixes)
    return "IOB1" if scheme == "BIO" and breaks_iob1 < breaks_bio else scheme


def _scheme_of(prefixes: set[str]) -> str:
    used = prefixes - {OUTSIDE}
    if used <= {""} or used == {"I"}:
        return "IO"
    for scheme, allowed in (("BIO", "BI"), ("BIOES", "BIES"), ("BILOU", "BILU")):
        if used <= set(allowed):
            return scheme
    found = ", ".join(f"{p}-" if p else "none" for p in sorted(used))
    raise DataError(
        f"tags of different schemes are mixed (prefixes found: {found}): "
        "use one of BIO, IOB1, BIOES, BILOU or IO throughout."
    )


def _first_mixed(sequences: Sequence[Sequence[str]]) -> int:
    """Of sequences that mix schemes, the first that fits none together with those before it."""
    prefixes: set[str] = set()
    for i, sequence in enumerate(sequences):
        prefixes.update(split_tag(tag)[0] for tag in sequence)
        try:
            _scheme_of(prefixes)
        except DataError:
            return i
    return len(sequences) - 1


def to_bio2(sequence: Sequence[str], scheme: str) -> list[str]:
    """Convert one sequence to BIO2, where B- opens every entity. Ill-formed tags stay so."""
    if scheme == "BIO":
        return list(sequence)
    converted, before = [], ""
    for tag in sequence:
        prefix, kind = split_tag(tag)
        if scheme in _CLOSED_SCHEMES:
            bio = {"S": "B", "U": "B", "E": "I", "L": "I"}.get(prefix, prefix)
        else:  # IO and IOB1: an entity begins where the type changes (or at B-, in IOB1)
            bio = "I" if kind == before and prefix != "B" else "B"
        converted.append(OUTSIDE if prefix == OUTSIDE else f"{bio}-{kind}")
        before = kind
    return converted


def find_ill_formed(sequence: Sequence[str], scheme: str = "BIO") -> list[int]:
    """Positions that break the scheme.

    In BIO2: I- without an entity of its type to continue. In BIOES and BILOU also an entity that
    is left open. IOB1 and IO have no ill-formed sequences: they convert to BIO2 as they are.
    """
    if scheme not in ("BIO", *_CLOSED_SCHEMES):
        return []
    bad: list[int] = []
    open_type = ""  # the type of the entity that the next tag may continue
    for i, tag in enumerate(sequence):
        prefix, kind = split_tag(tag)
        continues = prefix in ("I", "E", "L")
        if continues and kind != open_type:
            bad.append(i)
        elif scheme in _CLOSED_SCHEMES and open_type and not continues:
            bad.append(i - 1)
        open_type = kind if prefix in ("B", "I") else ""
    if scheme in _CLOSED_SCHEMES and open_type:
        bad.append(len(sequence) - 1)
    return sorted(set(bad))


def repair_bio2(sequence: Sequence[str]) -> list[str]:
    """Open an entity at every I- that continues none, as the CoNLL scorer reads it."""
    bad = set(find_ill_formed(sequence))
    return [f"B-{split_tag(tag)[1]}" if i in bad else tag for i, tag in enumerate(sequence)]


def apply_label_map(tags: Iterable[str], label_map: Mapping[str, str]) -> list[str]:
    """Rename the types of BIO2 tags, whatever their case; "ignore" makes them O."""
    known = LabelMap.of(label_map)
    mapped = []
    for tag in tags:
        prefix, kind = split_tag(tag)
        found = None if prefix == OUTSIDE else known.find(kind)
        new = kind if found is None else found
        outside = prefix == OUTSIDE or found in (IGNORE, "") or new.casefold() == OUTSIDE.casefold()
        mapped.append(OUTSIDE if outside else f"{prefix}-{new}")
    return mapped


def entity_types(tags: Iterable[str]) -> tuple[str, ...]:
    """The sorted entity types among tags."""
    return tuple(sorted({split_tag(tag)[1] for tag in tags} - {""}))


def bio2_names(types: Iterable[str]) -> tuple[str, ...]:
    """The BIO2 tag names for entity types: O first, then B- and I- of each."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def read_tags(
    table: Table, column: str, lengths: Sequence[int], label_map: LabelMap, repair: bool
) -> tuple[list[list[str] | None], list[str]]:
    """Read a column of tags: lists of names, or of ids.

    The rows have `lengths` tokens. `label_map` is as in `load_domain`; `repair` opens an entity
    where I- continues none, instead of refusing.

    Returns:
        BIO2 tags of each row (None: unlabelled), and notes on what was repaired or ignored.

    Raises:
        DataError: Tags and tokens differ in number, a tag is unknown or of another form, schemes are
            mixed, or a sequence is ill-formed; names file and line.
    """
    feature = (table.features or {}).get(column)
    declared = getattr(getattr(feature, "feature", None), "names", None)
    raw = [
        _read_row(value, length, declared, label_map, partial(table.locate, i))
        for i, (value, length) in enumerate(zip(table.columns[column], lengths, strict=True))
    ]
    labelled = {i: tags for i, tags in enumerate(raw) if tags is not None}
    _refuse_other_forms(table, labelled, label_map)
    try:
        scheme = detect_scheme(labelled.values())
    except DataError as error:
        index = list(labelled)[_first_mixed([*labelled.values()])]
        raise DataError(f"{table.locate(index)}: {error}") from None
    notes = _refuse_ill_formed(table, labelled, scheme, repair)
    bio2: list[list[str] | None] = list(raw)
    for i, tags in labelled.items():
        converted = to_bio2(tags, scheme)
        bio2[i] = repair_bio2(converted) if repair else converted
    counts = Counter(tag for tags in bio2 for tag in tags or ())
    mapped = dict(zip(counts, apply_label_map(counts, label_map), strict=True))
    bio2 = [None if tags is None else [mapped[tag] for tag in tags] for tags in bio2]
    ignored = sum(
        count for tag, count in counts.items() if tag[0] == "B" and mapped[tag] == OUTSIDE
    )
    if ignored:
        notes.append(
            f"{counted(ignored, 'entity')} of {table.short_name} became O, "
            f"{'its' if ignored == 1 else 'their'} type being ignored."
        )
    return bio2, notes


def _refuse_other_forms(
    table: Table, labelled: Mapping[int, list[str]], label_map: LabelMap
) -> None:
    """Refuse tags that would become entity types by their form alone, unless the map names them."""
    tags = dict.fromkeys(tag for row in labelled.values() for tag in row)
    bare = [tag for tag in tags if split_tag(tag) == ("", tag) and label_map.exact(tag) is None]
    types = {kind for prefix, kind in map(split_tag, tags) if prefix}
    found = other_forms(bare, OUTSIDE in tags, types)
    if not found:
        return
    first = next(iter(found))
    index = next(i for i, row in labelled.items() if first in row)
    where = table.locate(index, labelled[index].index(first))
    example = {tag: form for tag, form in found.items() if form}
    if not example:
        example = {"0": OUTSIDE, "1": "B-PER"} if first.isdigit() else {first: OUTSIDE}
    raise DataError(
        f"{where}: the tag {first} is not of the form X-TYPE, such as B-PER, and read as it is would "
        f"be an entity type of its own{'' if OUTSIDE in tags else ' (no word has the tag O)'}: say "
        "what each such tag means with label_map, for example label_map: "
        f"{as_yaml(example)}"
    )


def _refuse_ill_formed(
    table: Table, labelled: Mapping[int, list[str]], scheme: str, repair: bool
) -> list[str]:
    bad = [(i, at) for i, tags in labelled.items() for at in find_ill_formed(tags, scheme)]
    if not bad:
        return []
    index, position = bad[0]
    if repair:
        return [
            f"{counted(len(bad), 'ill-formed tag')} of {table.short_name} {were(len(bad))} "
            f"repaired, the first at {table.locate(index, position)}."
        ]
    raise DataError(
        f"{table.locate(index, position)}: the tag {labelled[index][position]} is ill-formed in "
        f"{scheme} ({counted(len(bad), 'such tag')} in {table.origin}): mend them, or set "
        "repair_tags to open a new entity there."
    )


def _read_row(
    value: Any,
    length: int,
    declared: Sequence[str] | None,
    label_map: LabelMap,
    locate: Callable[..., str],
) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise DataError(f"{locate()} does not hold a list of tags.")
    if len(value) != length:
        raise DataError(
            f"{locate()} has {counted(length, 'token')} but {counted(len(value), 'tag')}: each token "
            "needs one tag."
        )
    return [_read_tag(tag, declared, label_map, locate(at)) for at, tag in enumerate(value)]


def _read_tag(tag: Any, declared: Sequence[str] | None, label_map: LabelMap, where: str) -> str:
    if isinstance(tag, int) and not isinstance(tag, bool):
        if declared is not None and 0 <= tag < len(declared):
            tag = declared[tag]
        elif declared is not None:
            raise DataError(f"{where} has the tag {tag}, but {len(declared)} tags are declared.")
        elif label_map.exact(str(tag)) is not None:
            tag = str(tag)
        else:
            raise DataError(
                f"{where} has the tag {tag}, a number without a name: name each in label_map, "
                'such as {"0": O, "1": B-PER}.'
            )
    if not isinstance(tag, str) or not tag.strip():
        raise DataError(f"{where} has no tag, or one that is not a string: {tag!r}.")
    tag = tag.strip()
    whole = label_map.exact(tag)
    if whole is not None and split_tag(whole)[0]:  # as a tag; what is said of a type comes later
        label_map.find(tag)
        tag = whole
    prefix, kind = split_tag(tag)
    if prefix != "O" and not kind:
        raise DataError(f"{where} has the tag {tag!r}, which names no entity type.")
    return tag
