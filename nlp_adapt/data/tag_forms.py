"""Tags of other forms than X-TYPE: read as they are, each would be an entity type of its own."""

import re
from collections.abc import Collection

from nlp_adapt.names import OUTSIDE

_LETTER = re.compile(r"[BIELSU]", re.IGNORECASE)
_BEFORE = re.compile(r"([BIELSU])[-_:./|](.+)", re.IGNORECASE)
_BEHIND = re.compile(r"(.+)[-_:./|]([BIELSU])", re.IGNORECASE)


def other_forms(
    bare: Collection[str], has_outside: bool, types: Collection[str] = ()
) -> dict[str, str]:
    """Of tags without a prefix, those that are no entity types, and what each seems to mean.

    The middle of BMES (M-PER beside B-PER) is I-PER; `types` are those of the tags with a prefix.

    These are single letters (B, I), other marks and orders (B_PER, b-per, PER-B), what has no letter
    (0, 1, _), and, where no word is outside an entity, every name: parts of speech, most likely.
    """
    found = {tag: form for tag in bare if (form := _form(tag))}
    if not {form[:1] for form in found.values()} & {"B", "I"}:  # a type such as e-mail
        found = {}
    found |= {tag: f"I-{tag[2:]}" for tag in bare if tag[:2] == "M-" and tag[2:] in types}
    for tag in bare:
        if not any(map(str.isalpha, tag)):
            found[tag] = "" if tag.isdigit() else OUTSIDE
        elif not has_outside and tag not in found:
            found[tag] = OUTSIDE if tag == OUTSIDE.lower() else ""
    if not has_outside and "0" in found and any(any(map(str.isalpha, tag)) for tag in found):
        found["0"] = OUTSIDE  # a slip for the letter
    return found


def _form(tag: str) -> str:
    """A tag as X-TYPE, empty where nothing in it seems to be X."""
    if _LETTER.fullmatch(tag):
        return f"{tag.upper()}-ENTITY"
    if match := _BEFORE.fullmatch(tag):
        return f"{match[1].upper()}-{match[2]}"
    match = _BEHIND.fullmatch(tag)
    return f"{match[2].upper()}-{match[1]}" if match else ""
