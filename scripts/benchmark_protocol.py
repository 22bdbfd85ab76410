"""The standard table of a suite for any encoder: the 12 Amazon pairs, or news to WNUT-17.

    python scripts/benchmark_protocol.py --data DATA --suite amazon --encoder bert-base-uncased
    python scripts/benchmark_protocol.py --data DATA --suite wnut --encoder xlm-roberta-base

First it looks for leaks: a labelled target row, or one that is nearly the same, among the source's labelled
rows or the target's raw ones. If there is one it trains nothing and says so; `--clean FOLDER` writes DATA without
the rows that training may not see, to be named as `--data`. Then `benchmark_methods.py` trains and scores
what is missing (DATA is as it says there), and writes the page with what others have published below its
tables. Options that are not listed here go to it, such as `--seeds 5` or `--shard 1/2`.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import benchmark_methods
from protocol.leaks import ALIKE, Leak, Row, labelled_rows, leaks

from nlp_adapt import AdaptationError, Domain
from nlp_adapt.cli.console import quiet_libraries
from nlp_adapt.errors import DataError
from nlp_adapt.names import counted

SUITES = ("amazon", "wnut")
FOLDERS = {
    "amazon": ["sentiment/amazon_blitzer"],
    "wnut": ["ner_plo/conll2003", "ner_plo/wnut17", "ner/wnut17"],
}
METHODS = {
    "amazon": ["source_only", "auto", "twin_of_auto", "target_trained"],
    "wnut": ["source_only", "auto", "twin_of_auto"],
}


def main() -> None:
    """Look for leaks, then measure."""
    args, rest = parse_arguments()
    suite = benchmark_methods.SUITES[args.suite]
    pairs = suite["pairs"]
    names = dict.fromkeys(name for pair in pairs for name in pair)
    domains = {name: benchmark_methods.read_domain(args.data, suite, name) for name in names}
    scored = {name: scored_rows(args.suite, domains[name]) for _, name in pairs}
    found = leaks(pairs, domains, scored)
    if args.clean:
        left_out = write_without(args.data, args.clean, FOLDERS[args.suite], found)
        print(f"{args.clean}: written without {counted(left_out, 'row')}; name it as --data.")
        return
    refuse(found)
    print("No leak found.", file=sys.stderr)
    if args.check:
        return
    words = ["--data", str(args.data), "--suite", args.suite, *rest]
    if "--methods" not in rest:
        words += ["--methods", *METHODS[args.suite]]
    sys.argv = ["benchmark_methods.py", *words]
    benchmark_methods.main()


def scored_rows(suite: str, domain: Domain) -> list[Row]:
    """Every labelled row, as the literature scores them; of WNUT-17 its test rows."""
    if suite == "amazon":
        return labelled_rows(domain)
    return labelled_rows(replace(domain, train=None, validation=None))


def refuse(found: Sequence[Leak]) -> None:
    """End where training would see rows that it is scored on.

    Raises:
        DataError: With how many there are, and the first of them.
    """
    if not found:
        return
    scored, first = {one.place for one in found}, found[0]
    raise DataError(
        f"{counted(len(scored), 'labelled target row')} {'is' if len(scored) == 1 else 'are'} in what training "
        f"sees, or nearly ({ALIKE:.0%} of their five-word runs), first {first.place}, which is {first.seen_at}, "
        f"{first.seen_as}; `--clean FOLDER` writes the data without the rows that training may not see."
    )


def write_without(data: Path, folder: Path, parts: Sequence[str], found: Sequence[Leak]) -> int:
    """Copy a suite's parts of the data without the rows in which training would meet scored ones.

    Returns:
        How many rows are left out.

    Raises:
        DataError: If the folder is there already.
    """
    if folder.exists():
        raise DataError(f"{folder}: is there already; choose another folder.")
    by_file: Mapping[str, set[int]] = defaultdict(set)
    for one in found:
        name, _, line = one.seen_at.rpartition(":")
        by_file[name].add(int(line))
    for part in parts:
        shutil.copytree(data / part, folder / part, ignore=shutil.ignore_patterns("*.gold.txt.gz"))
    count = 0
    for path in sorted(folder.rglob("*.jsonl*")):
        if not (unwanted := by_file.get(path.name)):
            continue
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            lines = file.readlines()
        kept = [line for number, line in enumerate(lines, 1) if number not in unwanted]
        with opened(path, "wt", encoding="utf-8") as file:
            file.writelines(kept)
        count += len(lines) - len(kept)
    return count


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The options, and those of `benchmark_methods.py`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", required=True, type=Path, help="folder of the suites' domains")
    parser.add_argument("--suite", choices=SUITES, default="amazon")
    parser.add_argument("--check", action="store_true", help="look for leaks alone")
    parser.add_argument("--clean", type=Path, metavar="FOLDER", help="write the data without leaks")
    return parser.parse_known_args()


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except AdaptationError as error:
        sys.exit(f"benchmark_protocol: {error}")
