"""What a person's answers said of a run's two models, in plain words."""

from collections.abc import Mapping
from typing import Any

from nlp_adapt.names import counted
from nlp_adapt.reporting.results import Results

WINNERS = {"adapted": "the adapted model", "source_only": "the source-only model"}


def review_sentences(results: Results) -> list[str]:
    """The verdict of the answers that results.json holds, its numbers, and what was done."""
    review = results.get("review")
    return [] if not review else [*verdict_lines(review), *_export(review)]


def verdict_lines(review: Mapping[str, Any]) -> list[str]:
    """Who is better, by how much, how many answers would settle it, and how good both are."""
    wins, losses, neither = (review[key] for key in ("wins", "losses", "neither"))
    asked = wins + losses + neither
    if not asked:
        return ["No answer yet on a row where the models differ."]
    difference, name = review["difference"], review["name"]
    level = f"{100 * review['level']:.0f} %"
    ends = f"{level} interval {_points(difference['low'])} to {_points(difference['high'])}"
    said = f"adapted minus source-only is {_points(difference['estimate'])} points ({ends})"
    if winner := WINNERS.get(review["verdict"]):
        first = f"By {counted(asked, 'answer')}, {winner} is better on {name}: {said}."
    else:
        first = f"{counted(asked, 'answer')} on {name} leave it open: {said}."
    share = f"{100 * review['disagreement']['estimate']:.1f} %"
    what = "rows" if review["units"] == review["texts"] else "stretches"
    lines = [
        first,
        f"The models differ on {review['differing']:,} of {review['units']:,} {what} ({share}); of "
        f"those answered, the adapted model was right on {wins}, the source-only one on {losses}, "
        f"and neither was better on {neither}.",
        *_more(review),
        *_accuracies(review),
    ]
    if review["unsure"]:
        lines.append(f"{counted(review['unsure'], 'row')} without a sure answer left out.")
    if shares := review["class_shares"]:
        listed = ", ".join(f"{label} {100 * share:.0f} %" for label, share in shares.items())
        lines.append(f"Estimated class shares on {name}: {listed}.")
    elif review.get("no_class"):
        lines.append(
            f"No class shares: {counted(review['no_class'], 'answer')} of both wrong without the class "
            "would bend them; write the class instead and read the answers again."
        )
    return lines


def _more(review: Mapping[str, Any]) -> list[str]:
    more = review["more_answers"]
    if more == 0:
        return []
    if more is None:
        return ["Neither model leads, so no number of answers is in sight that would settle it."]
    left = review["differing"] - review["wins"] - review["losses"] - review["neither"]
    if more > left:
        return [
            f"Were further answers like these, {more:,} more would settle it, and the models differ "
            f"on {left:,} more only: they are about equally good."
        ]
    return [f"Were further answers like these, about {more:,} more would settle it."]


def _accuracies(review: Mapping[str, Any]) -> list[str]:
    if not review["accuracy"]:
        return []
    parts = [
        f"{WINNERS[key]} is right on {100 * one['estimate']:.1f} % "
        f"({100 * one['low']:.1f} to {100 * one['high']:.1f})"
        for key, one in review["accuracy"].items()
    ]
    text = " and ".join(parts)
    rows = counted(review["agreeing"], "answer")
    return [f"{text[0].upper()}{text[1:]}, by {rows} where both agree."]


def _export(review: Mapping[str, Any]) -> list[str]:
    chosen = review.get("exported")
    return [f"So the exported model is {WINNERS[chosen]}."] if chosen else []


def _points(share: float) -> str:
    """A difference of shares in points, signed."""
    return f"{100 * share:+.1f}"
