"""What a label map might say: names that corpora give to one class, and ratings against words."""

from collections.abc import Collection, Iterable, Sequence

from nlp_adapt.data.labels import IGNORE, as_yaml, is_number
from nlp_adapt.data.tagging import entity_types
from nlp_adapt.names import OUTSIDE, label_key

# Names that different corpora give to one class. A key's first name stands for the group.
_SYNONYMS = (
    ("PER", "person", "people", "human", "per-name"),
    ("LOC", "location", "gpe", "geo-loc", "geo", "place", "geopolitical", "city", "country"),
    ("ORG", "organization", "organisation", "company", "corporation", "group", "business", "corp"),
    ("MISC", "miscellaneous", "other"),
    ("positive", "pos", "1", "true", "good", "+"),
    ("negative", "neg", "0", "false", "bad", "-"),
    ("neutral", "neu", "mixed"),
)


def propose_label_map(source: Iterable[str], target: Iterable[str]) -> dict[str, str]:
    """Propose what the labels that the target has alone mean in the source's label space.

    For a person to read, never applied by itself: common synonyms (person -> PER, geo-loc -> LOC,
    company -> ORG, 1 -> positive) are mapped, the rest is ignored; ratings beside words of
    sentiment are cut in the middle of their scale. Empty where no name tells anything.
    """
    ours, theirs = list(source), list(target)
    for ratings, words in ((ours, theirs), (theirs, ours)):
        if _are_ratings(ratings):
            return _thresholds(ratings, words, words is theirs)
    by_key = {label_key(name): name for name in ours}
    by_group = {_group(name): name for name in ours if _group(name)}
    alone = [name for name in theirs if label_key(name) not in by_key]
    proposal = {name: by_group.get(_group(name), IGNORE) for name in alone}
    tells = len(alone) < len(theirs) or set(proposal.values()) - {IGNORE}
    return proposal if tells else {}


def ask_for_map(proposal: dict[str, str]) -> str:
    """The advice to write a label map, with the proposal as an example where there is one."""
    asked = "Say what they mean with label_map"
    return f"{asked}, for example label_map: {as_yaml(proposal)}" if proposal else f"{asked}."


def map_that_keeps(known: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """The label map by which the labels `wanted` are those that a head knows; empty where none is."""
    tags = OUTSIDE in wanted
    ours, theirs = (entity_types(names) if tags else names for names in (known, wanted))
    proposal = propose_label_map(ours, theirs)
    mapped = sorted(label_key(proposal.get(name, name)) for name in theirs)
    return proposal if mapped == sorted(map(label_key, ours)) else {}


def _group(name: str) -> str:
    """The first of a name's synonyms; empty where none is known."""
    key = label_key(name)
    return next((one[0] for one in _SYNONYMS if key in map(label_key, one)), "")


def _are_ratings(names: Collection[str]) -> bool:
    """Whether they are numbers that say more than the two answers 0 and 1 do."""
    return bool(names) and all(map(is_number, names)) and not set(names) <= {"0", "1"}


def _thresholds(
    ratings: Collection[str], words: Collection[str], words_are_the_targets: bool
) -> dict[str, str]:
    """Ratings below and above the middle of their scale as the words negative and positive."""
    by_group = {_group(word): word for word in words}
    if not {"negative", "positive"} <= by_group.keys() or any(map(is_number, words)):
        return {}
    values = [float(name) for name in ratings]
    middle = (min(values) + max(values)) / 2
    found = {f"<{middle:g}": by_group["negative"]}
    if middle in values:
        found[f"{middle:g}"] = by_group.get("neutral", IGNORE)
    found[f">{middle:g}"] = by_group["positive"]
    if words_are_the_targets:  # a word that no rating stands for cannot be learned
        found |= {word: IGNORE for word in words if word not in found.values()}
    return found
