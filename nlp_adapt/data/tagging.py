"""Tagging schemes: recognising BIO, IOB1, BIOES, BILOU and IO, and converting them to BIO2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nlp_adapt.errors import DataError
from nlp_adapt.names import OUTSIDE

IGNORE = "ignore"
_PREFIXES = frozenset("BIELSU")
_CLOSED_SCHEMES = ("BIOES", "BILOU")  # those that mark where an entity ends


def split_tag(tag: str) -> tuple[str, str]:
    """Part prefix and type: B-PER gives ("B", "PER"), O ("O", ""), a bare PER ("", "PER").

    Only the first hyphen parts, so that a type may hold hyphens (B-geo-loc).
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, hyphen, kind = tag.partition("-")
    if hyphen and prefix in _PREFIXES:
        return prefix, kind
    return "", tag


def detect_scheme(sequences: Iterable[Sequence[str]]) -> str:
    """Recognise the tagging scheme of a whole file.

    Tags that begin with B- and I- alone may be BIO2 or IOB1 (where B- only parts two adjacent
    entities): the one that fewer tags break is taken, BIO2 on a tie.

    Returns:
        "BIO", "IOB1", "BIOES", "BILOU" or "IO". I- without any B- is "IO".

    Raises:
        DataError: The tags mix schemes.
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


def first_mixed(sequences: Iterable[Sequence[str]]) -> int | None:
    """The first sequence that no scheme fits together with those before it, if there is one."""
    prefixes: set[str] = set()
    for i, sequence in enumerate(sequences):
        prefixes.update(split_tag(tag)[0] for tag in sequence)
        try:
            _scheme_of(prefixes)
        except DataError:
            return i
    return None


def to_bio2(sequence: Sequence[str], scheme: str) -> list[str]:
    """Convert one sequence to BIO2, where B- opens every entity. Ill-formed tags stay so."""
    if scheme == "BIO":
        return list(sequence)
    if scheme in _CLOSED_SCHEMES:
        return [_open_bio2(tag) for tag in sequence]
    # IO and IOB1: an entity begins where the type changes (or at B-, in IOB1).
    converted, before = [], ""
    for tag in sequence:
        prefix, kind = split_tag(tag)
        inside = kind == before and prefix != "B"
        converted.append(OUTSIDE if prefix == OUTSIDE else f"{'I' if inside else 'B'}-{kind}")
        before = kind
    return converted


def _open_bio2(tag: str) -> str:
    prefix, kind = split_tag(tag)
    bio = {"S": "B", "U": "B", "E": "I", "L": "I"}.get(prefix, prefix)
    return OUTSIDE if prefix == OUTSIDE else f"{bio}-{kind}"


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


def apply_label_map(tags: Sequence[str], label_map: dict[str, str]) -> list[str]:
    """Rename the entity types of BIO2 tags; a type mapped to "ignore" becomes O.

    Args:
        tags: One BIO2 sequence.
        label_map: Type -> new type or "ignore"; case does not matter in the keys.
    """
    renamed = {key.strip().casefold(): str(value).strip() for key, value in label_map.items()}
    mapped = []
    for tag in tags:
        prefix, kind = split_tag(tag)
        new = renamed.get(kind.casefold(), kind)
        outside = prefix == OUTSIDE or new.casefold() in (IGNORE, OUTSIDE.casefold())
        mapped.append(OUTSIDE if outside else f"{prefix}-{new}")
    return mapped


def entity_types(tags: Iterable[str]) -> tuple[str, ...]:
    """The sorted entity types among tags."""
    return tuple(sorted({split_tag(tag)[1] for tag in tags} - {""}))


def bio2_names(types: Iterable[str]) -> tuple[str, ...]:
    """The BIO2 tag names for entity types: O first, then B- and I- of each."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))
