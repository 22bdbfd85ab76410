"""Methods ranked without target labels: paired gains, failures, and what is said of it."""

import pytest

from nlp_adapt.comparing.ranking import paired, rank, ranking_rows, ranking_sentences
from nlp_adapt.comparing.training import Trained
from nlp_adapt.errors import ConfigError
from tests.helpers.ranked import results


def trained(method, scores, targets, failed=()):
    runs = {1 + i: results(s, t) for i, (s, t) in enumerate(zip(scores, targets, strict=True))}
    folders = {seed: f"runs/{method}/seed{seed}" for seed in runs}
    return Trained(method, runs, folders, dict.fromkeys(failed, "no loss"))


PLAIN = trained("source_only", [0.6, 0.62, 0.64], [0.7, 0.72, 0.74])
DANN = trained("dann", [0.7, 0.71, 0.72], [0.6, 0.63, 0.66])
MCC = trained("mcc", [0.65, 0.66, 0.67], [0.8, 0.8, 0.8])


def test_a_paired_interval_is_that_of_students_t():
    gain = paired({1: 0.3, 2: 0.4, 3: 0.8}, {1: 0.1, 2: 0.1, 3: 0.1, 4: 0.9})
    # Differences 0.2, 0.3, 0.7: mean 0.4, deviation 0.26458, 4.30265 at 2 degrees of freedom.
    assert gain["mean"] == pytest.approx(0.4)
    assert gain["high"] - gain["mean"] == pytest.approx(4.30265 * 0.264575 / 3**0.5, rel=1e-5)
    assert gain["low"] + gain["high"] == pytest.approx(0.8)
    assert paired({1: 0.3}, {1: 0.1}) == {"mean": pytest.approx(0.2), "low": None, "high": None}
    assert paired({1: 0.3}, {2: 0.1}) is None


def test_the_selector_ranks_and_labels_only_stand_beside_it():
    found = rank([PLAIN, DANN, MCC], "label_free")
    assert [(one["method"], one["rank"]) for one in found["methods"]] == [
        ("dann", 1), ("mcc", 2), ("source_only", 3),
    ]  # fmt: skip
    assert (found["baseline"], found["seeds"]) == ("source_only", [1, 2, 3])
    dann = found["methods"][0]
    assert dann["gains"]["target"]["mean"] == pytest.approx(-0.09)
    assert (dann["steps"], dann["seconds"]) == (10, 2)
    assert dann["runs"]["2"] == "runs/dann/seed2"
    header, first, *_ = ranking_rows(found)
    assert header[:4] == ["method", "rank", "label_free", "vs source_only"]
    assert first == [
        "dann", "1", "71.0", "+9.0 (+6.5 to +11.5)", "63.0", "-9.0 (-11.5 to -6.5)", "90.0", "10", "3",
    ]  # fmt: skip
    said = ranking_sentences(found)
    assert "paired over 3 seeds" in said[0]
    assert "By target labels mcc is best, 17.0 points above dann" in said[1]


def test_without_labels_it_says_that_the_ranking_may_be_wrong():
    found = rank([trained("auto", [0.5], [None]), trained("mcc", [0.4], [None])], "label_free")
    assert found["baseline"] == "auto"
    assert [row[4] for row in ranking_rows(found)[1:]] == ["-", "-"]
    said = ranking_sentences(found)
    assert "One seed shows no spread" in said[0]
    assert "review" in said[1]


def test_a_method_with_a_failed_run_keeps_its_numbers_and_has_no_rank():
    broken = trained("daln", [0.9], [0.9], failed=[2])
    lost = Trained("mdd", failed={1: "no loss"})
    found = rank([PLAIN, broken, lost], "label_free")
    assert [(one["method"], one["rank"]) for one in found["methods"]] == [
        ("source_only", 1), ("daln", None), ("mdd", None),
    ]  # fmt: skip
    rows = ranking_rows(found)
    assert rows[2][:3] == ["daln", "-", "90.0"]
    assert rows[3][1:] == ["-", "-", "-", "-", "-", "-", "-", "0"]
    assert "daln with seed 2 failed: no loss" in ranking_sentences(found)
    none = rank([lost], "label_free")
    assert len(ranking_rows(none)) == 2
    assert ranking_sentences(none) == ["mdd with seed 1 failed: no loss"]


def test_a_score_that_was_not_taken_ranks_nothing():
    assert rank([PLAIN], "source_risk")["methods"][0]["rank"] is None


def test_data_that_changed_between_runs_is_refused():
    moved = trained("mcc", [0.5], [0.5])
    moved.runs[1] = results(0.5, 0.5, fingerprints={"source": "a", "target": "c"})
    with pytest.raises(ConfigError, match="another target"):
        rank([PLAIN, moved], "label_free")
