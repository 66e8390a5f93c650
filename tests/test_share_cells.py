"""Who is counted where, and that what is withheld cannot be worked out from the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.dataset import Sample
from auditor.evidence import Evidence
from auditor.profiles import Histogram
from auditor.share import cells, histograms, shapes
from auditor.share.cells import REASON, Cells, few
from auditor.share.numbers import MEANS, Numbers
from auditor.statistics.by_outcome import OutcomeRow
from auditor.statistics.operating import OperatingPoint
from auditor.statistics.rows import GROUPS, MACRO, Comparison, Curve, Summary, frequency_groups

CLASSES = ("A", "B", "C", "D", "E")
STRATEGIES = ("bce", "focal", "wbce")
TRAIN = {"images": 1000, "positives": {"A": 300, "B": 200, "C": 30, "D": 20, "E": 2}}
MANY = frozenset(f"p{n}" for n in range(50))


def some(n: int, first: int = 0) -> frozenset[str]:
    return frozenset(f"p{number}" for number in range(first, first + n))


def make_cells(
    withheld: Sequence[str] = (), outcomes: Mapping[tuple[str, str], tuple[int, ...]] | None = None, people: Any = None
) -> Cells:
    of_class = {("audited", name, "positive"): MANY for name in CLASSES} | (people or {})
    return Cells(frozenset(withheld), of_class, {}, outcomes or {}, [1] * 50, list(range(1, 51)))


def level(model: str, name: str, value: float = 0.5, **more: Any) -> Summary:
    return Summary("sensitivity", "outcomes", None, model, model, name, value, None, **{"n": 50, "n_patients": 50, **more})


def contrast(strategy: str, name: str) -> Comparison:
    return Comparison("sensitivity", "outcomes", None, name, "net", strategy, "bce", 0.1, 0.0, 0.2, 50, 50)


def evidence(train: Any = TRAIN, **fields: Any) -> Evidence:
    groups = [group for group, members in frequency_groups(CLASSES, (train["images"], train["positives"])) if members]
    names = [*CLASSES, MACRO, *groups]
    default = {
        "summaries": tuple(level(model, name) for model in STRATEGIES for name in names),
        "comparisons": tuple(contrast(strategy, name) for strategy in STRATEGIES[1:] for name in names),
    }
    return Evidence(
        audit={}, dataset={"classes": CLASSES, "train": train}, models=tuple({"id": s, "strategy": s} for s in STRATEGIES),
        metrics={"sensitivity": {"statistic": "sensitivity"}}, findings=(), gaps=(), accounting={}, environment={},
        **{**default, **fields},
    )  # fmt: skip


# The label cells.


def samples(labels: Sequence[Sequence[int | None]]) -> list[Sample]:
    """A patient each."""
    return [Sample(f"i{n}", f"p{n}", tuple(row)) for n, row in enumerate(labels)]


def withheld(labels: Sequence[Sequence[int | None]]) -> set[str]:
    listed = samples(labels)
    names = CLASSES[: len(labels[0])]
    return set(cells._withheld(cells._by_class({"audited": listed}, names), names, listed))


@pytest.mark.parametrize(
    ("positive", "negative", "unknown", "is_withheld"),
    [
        (5, 5, 0, False),
        (4, 20, 0, True),
        (20, 4, 0, True),
        (20, 20, 1, True),
        (0, 20, 0, False),
        (20, 0, 0, False),
        (9, 9, 5, False),
    ],
)
def test_a_class_with_one_to_four_patients_of_a_kind_is_withheld(
    positive: int, negative: int, unknown: int, is_withheld: bool
) -> None:
    assert withheld([[1]] * positive + [[0]] * negative + [[None]] * unknown) == ({"A"} if is_withheld else set())


def test_patients_are_counted_and_not_images() -> None:
    listed = [Sample(f"i{n}", f"p{n % 4}", (1,)) for n in range(100)] + [Sample(f"j{n}", f"q{n}", (0,)) for n in range(9)]
    assert cells._withheld(cells._by_class({"audited": listed}, ("A",)), ("A",), listed) == {"A"}


def test_where_every_image_has_a_finding_a_second_class_is_withheld() -> None:
    one_of_three = [[1, 0, 0]] * 3 + [[0, 1, 0]] * 10 + [[0, 0, 1]] * 20
    assert withheld(one_of_three) == {"A", "B"}
    assert withheld([*one_of_three, [0, 0, 0]]) == {"A"}


def test_a_second_class_is_withheld_however_many_patients_the_first_one_has() -> None:
    assert withheld([[1, 1, 0]] * 20 + [[1, 0, 1]] * 20 + [[0, 1, 1]] * 3) == {"A", "B"}


def test_and_a_third_until_five_patients_are_together() -> None:
    assert withheld([[1, 0, 0]] * 2 + [[0, 1, 0]] * 2 + [[0, 0, 1]] * 20) == {"A", "B", "C"}


def test_as_many_patients_as_so_many_images_must_be_of() -> None:
    counted = Cells(frozenset(), {}, {}, {}, [5, 2, 1], [5, 7, 8])
    assert [counted.at_least(n) for n in (0, 1, 5, 6, 7, 8)] == [0, 1, 1, 2, 2, 3]


# Levels and contrasts.


def test_a_level_of_few_patients_is_withheld_with_its_contrasts_and_its_mean() -> None:
    rows = [
        level(model, name, n_patients=4 if (model, name) == ("focal", "C") else 50)
        for model in STRATEGIES
        for name in (*CLASSES, MACRO)
    ]
    found = Numbers(evidence(summaries=tuple(rows)), make_cells())
    gone = {(row.model, row.class_name) for row in found.summaries() if row.missing}
    assert gone == {("focal", "C"), ("focal", MACRO)}
    assert {(row.strategy, row.class_name) for row in found.comparisons() if row.missing} >= {("focal", "C"), ("focal", MACRO)}
    assert all(row.value is None and row.n == 0 and row.low is None for row in found.summaries() if row.missing)


def test_nothing_is_withheld_where_nothing_is_small() -> None:
    whole = evidence()
    found = Numbers(whole, make_cells())
    assert found.summaries() == whole.summaries
    assert found.comparisons() == whole.comparisons


def test_a_rate_is_withheld_where_its_count_is_small() -> None:
    found = Numbers(evidence(), make_cells(outcomes={("focal", "A"): (47, 3, 9, 90, 0), ("bce", "A"): (50, 0, 9, 90, 0)}))
    assert {row.model for row in found.summaries() if row.missing and row.class_name == "A"} == {"focal"}


def _can_be_worked_out(shown: list[np.ndarray[Any, Any]], wanted: np.ndarray[Any, Any]) -> bool:
    """Whether a number follows from others that are sums of the same unknowns: it does not raise their rank."""
    known = np.array(shown).reshape(len(shown), len(wanted))
    return int(np.linalg.matrix_rank(known)) == int(np.linalg.matrix_rank(np.vstack([known, wanted])))


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(list(product(STRATEGIES, CLASSES))), max_size=6), st.sets(st.sampled_from(CLASSES), max_size=2))
def test_no_withheld_level_follows_from_what_is_shown(small: set[tuple[str, str]], gone: set[str]) -> None:
    whole = evidence()
    people = {("audited", name, "positive"): some(3, 10 * number) for number, name in enumerate(sorted(gone))}
    counted = make_cells(sorted(gone), dict.fromkeys(small, (3, 47, 9, 90, 0)), people)
    found = Numbers(whole, counted)
    places = {place: number for number, place in enumerate(product(STRATEGIES, CLASSES))}
    groups = {MACRO: CLASSES} | {
        group: tuple(CLASSES[k] for k in members)
        for group, members in frequency_groups(CLASSES, (TRAIN["images"], TRAIN["positives"]))
    }

    def row(model: str, name: str) -> np.ndarray[Any, Any]:
        line = np.zeros(len(places))
        for one in groups.get(name, (name,)):
            line[places[model, one]] += 1
        return line

    shown = [row(r.model, r.class_name) for r in found.summaries() if r.missing is None]
    shown += [row(r.strategy, r.class_name) - row("bce", r.class_name) for r in found.comparisons() if r.missing is None]
    hidden = {(r.model, r.class_name) for r in found.summaries() if r.missing and r.class_name not in MEANS}
    assert hidden >= small | set(product(STRATEGIES, gone))
    for place in sorted(hidden):
        assert not _can_be_worked_out(shown, row(*place)), place


def test_the_oracle_sees_a_mean_that_gives_a_class_back() -> None:
    assert _can_be_worked_out([np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.ones(3)], np.array([0, 0, 1.0]))


# Outcomes, curves, histograms.


def test_the_counts_of_a_class_are_withheld_together() -> None:
    points = tuple(OperatingPoint(m, m, "A", 0.9, 0.1, None, 47, 3, 9, 90, 0, 0, 99, 99) for m in STRATEGIES)
    found = shapes.operating(evidence(operating=points), make_cells(outcomes={("focal", "A"): (47, 3, 9, 90, 0)}))
    (gone,) = [point for point in found if point.missing]
    assert (gone.model, gone.missing, gone.threshold) == ("focal", REASON, None)
    assert (gone.true_positives, gone.false_negatives, gone.false_positives, gone.true_negatives) == (0, 0, 0, 0)


def test_found_and_missed_are_withheld_together_with_their_mean() -> None:
    def row(name: str, outcome: str, patients: int) -> OutcomeRow:
        return OutcomeRow("cbl", "gradcam", "bce", "bce", name, outcome, 0.5, None, patients, n_patients=patients)

    rows = [row("A", "TP", 40), row("A", "FN", 3), row("A", "FP", 9), row("B", "TP", 9), row("B", "FN", 9)]
    rows += [row(MACRO, outcome, 30) for outcome in ("TP", "FN", "FP")]
    found = shapes.by_outcome(evidence(by_outcome=tuple(rows)), make_cells())
    gone = {(row.class_name, row.outcome) for row in found if row.missing}
    assert gone == {("A", "TP"), ("A", "FN"), (MACRO, "TP"), (MACRO, "FN")}


def test_a_curve_of_which_a_point_may_be_of_few_patients_is_left_out() -> None:
    def curve(n: int) -> Curve:
        return Curve("calibration", "bce", "bce", "", (0.1, 0.2), (0.1, 0.2), (n, 100), 20, 20)

    assert shapes.curves(evidence(curves=(curve(20), curve(21))), make_cells()) == (curve(21),)  # 5 classes an image


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.integers(0, 30)), min_size=1, max_size=80),
    st.lists(st.tuples(st.floats(-3, 3), st.integers(0, 30)), min_size=1, max_size=80),
)
def test_no_bin_of_a_shared_histogram_is_small(audited: list[tuple[float, int]], training: list[tuple[float, int]]) -> None:
    sides = {
        split: ([value for value, _ in rows], [f"p{patient}" for _, patient in rows])
        for split, rows in (("audited", audited), ("training", training))
    }
    spread = {("bce", "logit_shift", "margin", "A", split): side for split, side in sides.items()}
    row = Histogram("logit_shift", "margin", "bce", "bce", "A", -3.0, 3.0, (0,) * 40, (0,) * 40)
    found = histograms._wider(row, spread)
    if found is None:
        return
    for split, counts in (("audited", found.audited), ("training", found.training)):
        values, patients = sides[split]
        assert len(counts) >= 4
        assert sum(counts) == len(values)
        edges = np.linspace(-3, 3, len(counts) + 1)
        for number, count in enumerate(counts):
            last = number == len(counts) - 1
            inside = [
                p for v, p in zip(values, patients, strict=True) if edges[number] <= v and (v < edges[number + 1] or last)
            ]
            assert len(inside) == count
            assert not few(len(set(inside)))


def test_a_full_histogram_keeps_its_bins() -> None:
    values = [x + 0.5 for x in range(40) for _ in range(5)]
    side = (values, [f"p{n}" for n in range(len(values))])
    spread = {("bce", "logit_shift", "margin", "A", split): side for split in ("audited", "training")}
    row = Histogram("logit_shift", "margin", "bce", "bce", "A", 0.0, 40.0, (5,) * 40, (5,) * 40)
    assert histograms._wider(row, spread) == row


def test_the_groups_are_those_of_the_statistics() -> None:
    assert set(MEANS) == {MACRO, *GROUPS}
