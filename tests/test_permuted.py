"""kappa_loc: slow twins, laws, and tests of truth on real boxes."""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.bilinear import matrix
from auditor.boxes import Edges, pixel_edges
from auditor.dataset import Box
from auditor.placement import placed, regions
from auditor.statistics.influence import Influence, averaged, difference, interval
from auditor.statistics.permuted import NO_OTHER, NOTHING_THERE, NOTHING_TO_GAIN, permuted

Array = npt.NDArray[np.float64]


def twin(statistic: str, own: Array, crossed: Array, patient: list[int], columns: list[int]) -> float:
    """The definition, pair by pair."""
    pairs = [crossed[i, j] for i in range(len(own)) for j in range(crossed.shape[1]) if patient[i] != columns[j]]
    elsewhere = float(np.mean([score for score in pairs if not np.isnan(score)]))
    mean = float(np.mean(own))
    excess = mean - elsewhere
    known = {"excess": excess, "kappa": excess / (1 - elsewhere), "others": elsewhere}
    return known[statistic] if statistic in known else float(np.log(mean / elsewhere))


def twin_influence(statistic: str, own: Array, crossed: Array, patient: list[int], columns: list[int]) -> Array:
    """One patient left out at a time, rows and columns together."""
    everyone = sorted({*patient, *columns})
    left = []
    for gone in everyone:
        rows, others = [p != gone for p in patient], [p != gone for p in columns]
        kept = [p for p in patient if p != gone], [p for p in columns if p != gone]
        left.append(twin(statistic, own[rows], crossed[rows][:, others], *kept))
    return np.sqrt((len(left) - 1) / len(left)) * (np.mean(left) - np.array(left))


@pytest.mark.parametrize("statistic", ["excess", "kappa", "lift", "others"])
@given(st.integers(0, 2**31), st.integers(3, 9), st.integers(3, 12))
@settings(deadline=None, max_examples=40)
def test_value_and_influence_equal_leaving_out_patients_one_by_one(statistic: str, seed: int, cases: int, boxes: int) -> None:
    random = np.random.default_rng(seed)
    patient = [0, 1, 2, *random.integers(0, 5, cases - 3).tolist()]
    columns = [3, 4, 0, *random.integers(0, 7, boxes - 3).tolist()]
    low = 0.1 if statistic == "lift" else -0.5
    own, crossed = random.uniform(low, 1, cases), random.uniform(low, 0.9, (cases, boxes))
    crossed[0, 1] = np.nan
    found = permuted(statistic, own, crossed, np.array(patient), np.array(columns))  # type: ignore[arg-type]
    assert isinstance(found, Influence)
    assert found.value == pytest.approx(twin(statistic, own, crossed, patient, columns), abs=1e-12)
    np.testing.assert_allclose(found.influence, twin_influence(statistic, own, crossed, patient, columns), atol=1e-12)
    assert found.patient.tolist() == sorted({*patient, *columns})


def test_a_map_that_scores_every_box_alike_has_no_excess_and_an_ideal_one_has_kappa_one() -> None:
    patient = np.arange(6)
    blind = permuted("kappa", np.full(6, 0.4), np.full((6, 6), 0.4), patient, patient)
    ideal = permuted("kappa", np.ones(6), np.eye(6) * 0.8 + 0.2, patient, patient)
    assert isinstance(blind, Influence)
    assert isinstance(ideal, Influence)
    assert interval(blind) == pytest.approx((0, 0), abs=1e-12)
    assert ideal.value == 1


def test_pairs_of_one_patient_are_left_out_and_too_few_patients_are_told() -> None:
    alone = permuted("excess", np.ones(3), np.ones((3, 3)), np.zeros(3, int), np.zeros(3, int))
    assert alone == "fewer than 2 patients"
    unseen = permuted("excess", np.ones(2), np.full((2, 2), np.nan), np.arange(2), np.arange(2))
    assert unseen == NO_OTHER


def test_where_every_box_is_hit_there_is_nothing_to_gain_and_no_number() -> None:
    hit = np.ones((4, 4))
    assert permuted("kappa", np.ones(4), hit, np.arange(4), np.arange(4)) == NOTHING_TO_GAIN
    hit[0, 1] = 0.0  # without patient 0 or 1 nothing would be left to gain
    assert permuted("kappa", np.ones(4), hit, np.arange(4), np.arange(4)) == NOTHING_TO_GAIN
    assert isinstance(permuted("excess", np.ones(4), hit, np.arange(4), np.arange(4)), Influence)


def test_there_is_no_lift_where_one_patient_holds_all_there_is() -> None:
    patient = np.arange(4)
    assert permuted("lift", np.array([0.0, 0, 0, 2]), np.ones((4, 4)), patient, patient) == NOTHING_THERE
    assert permuted("lift", np.ones(4), np.eye(4), patient, patient) == NOTHING_THERE
    assert isinstance(permuted("lift", np.ones(4), np.ones((4, 4)), patient, patient), Influence)


def test_influences_of_one_patient_add_up_before_they_are_squared() -> None:
    one = Influence(0.4, np.array([1, 2]), np.array([0.1, -0.2]), 5)
    other = Influence(0.2, np.array([2, 3]), np.array([0.2, 0.3]), 4)
    both = averaged([one, other])
    assert both.value == pytest.approx(0.3)
    np.testing.assert_allclose(both.influence, [0.05, 0.0, 0.15], atol=1e-15)
    assert both.cases == 9
    same = difference(one, one)
    assert same.value == 0
    assert interval(same) == (0, 0)


SIDE = 56
"""Grid of the maps in the tests of truth: fine enough for the smallest box."""
Boxes = tuple[list[Edges], npt.NDArray[np.int64]]


def nih_boxes(folder: Path, name: str) -> Boxes:
    """The real boxes of a finding on the grid, and the patient of each."""
    with gzip.open(folder / "nih-tables" / "BBox_List_2017.csv.gz", "rt") as file:
        rows = [row for row in csv.reader(file) if len(row) >= 6 and row[1] == name]
    places = [[float(value) / 1024 for value in row[2:6]] for row in rows]
    boxes = [Box(name, x, y, x + width, y + height) for x, y, width, height in places]
    return [pixel_edges(box, SIDE, SIDE) for box in boxes], np.array([int(row[0].split("_")[0]) for row in rows], np.int64)


def bump(y: float, x: float, width: float) -> Array:
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return np.asarray(np.exp(-((down - y) ** 2 + (across - x) ** 2) / (2 * width**2)))


def smooth(random: np.random.Generator, nodes: int) -> Array:
    up = matrix(nodes, SIDE)
    return np.asarray(up @ random.random((nodes, nodes)) @ up.T)


def spike(random: np.random.Generator) -> Array:
    found = np.zeros((SIDE, SIDE))
    found[tuple(random.integers(0, SIDE, 2))] = 1
    return found


EDGE = np.pad(np.zeros((SIDE - 8, SIDE - 8)), 4, constant_values=1.0)
UNINFORMATIVE: dict[str, Callable[[np.random.Generator], Array]] = {
    "nothing": lambda random: np.zeros((SIDE, SIDE)),
    "noise": lambda random: random.random((SIDE, SIDE)),
    "one pixel": spike,
    "coarse": lambda random: smooth(random, 4),
    "smooth": lambda random: smooth(random, 7),
    "fine": lambda random: smooth(random, 14),
    "centre": lambda random: bump(0.5, 0.5, 0.25),
    "lower lung": lambda random: bump(0.7, 0.3, 0.1) + bump(0.7, 0.7, 0.1),
    "either side": lambda random: bump(0.6, 0.3 if random.random() < 0.5 else 0.7, 0.12),
    "wandering bump": lambda random: bump(*random.normal(0.5, 0.15, 2), width=0.15),
    "border": lambda random: EDGE * random.uniform(0.2, 1.0),
}


def kappa(boxes: Boxes, maps: Callable[[int], Array]) -> Influence:
    edges, patient = boxes
    where = regions([[box] for box in edges])
    scores = np.stack([placed(maps(case), where).cbl for case in range(len(edges))])
    found = permuted("kappa", scores.diagonal().copy(), scores, patient, patient)
    assert isinstance(found, Influence)
    return found


def contains_nothing(found: Influence, slack: float = 1e-9) -> bool:
    """The interval contains 0, up to rounding."""
    low, high = interval(found)
    return low - slack <= 0 <= high + slack


@pytest.mark.parametrize("kind", ["smooth", "centre", "either side"])
def test_a_map_that_knows_nothing_of_the_image_has_no_kappa_on_real_boxes(kind: str, shared_data: Path) -> None:
    random = np.random.default_rng(1)
    assert contains_nothing(kappa(nih_boxes(shared_data, "Nodule"), lambda case: UNINFORMATIVE[kind](random)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(UNINFORMATIVE))
def test_eleven_kinds_of_uninformative_maps_have_no_kappa_over_all_real_boxes(kind: str, shared_data: Path) -> None:
    random = np.random.default_rng(7)
    found = averaged([kappa(nih_boxes(shared_data, name), lambda case: UNINFORMATIVE[kind](random)) for name in FINDINGS])
    assert contains_nothing(found)
    assert abs(found.value) < 0.03


def test_a_planted_difference_is_found_between_maps_of_the_same_boxes(shared_data: Path) -> None:
    """One network sees half of the lesions, the other none; both know where lesions usually sit."""
    boxes = nih_boxes(shared_data, "Nodule")

    def seeing(share: float) -> Callable[[int], Array]:
        random = np.random.default_rng(3)

        def draw(case: int) -> Array:
            left, top, right, bottom = boxes[0][case]
            lesion = bump((top + bottom) / 2 / SIDE, (left + right) / 2 / SIDE, 0.05)
            return bump(0.5, 0.5, 0.25) + (2 * lesion if random.random() < share else 0)

        return draw

    seer, blind = kappa(boxes, seeing(0.5)), kappa(boxes, seeing(0.0))
    low, _ = interval(difference(seer, blind))
    assert low > 0.1
    assert contains_nothing(blind)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Nodule", "Cardiomegaly"])
def test_the_interval_of_kappa_covers_the_truth_on_real_boxes(name: str, shared_data: Path) -> None:
    """Patients resampled from the real ones, maps that see the lesion now and then; .93 to .96 with 400 repeats."""
    edges, patient = nih_boxes(shared_data, name)
    random, where = np.random.default_rng(5), regions([[box] for box in edges])
    seen = random.random(len(edges)) < 0.5
    maps = [bump(*random.normal(0.5, 0.15, 2), width=0.12) for _ in edges]
    for case, (left, top, right, bottom) in enumerate(edges):
        if seen[case]:
            maps[case] = maps[case] + bump((top + bottom) / 2 / SIDE, (left + right) / 2 / SIDE, 0.08)
    scores = np.stack([placed(one, where).cbl for one in maps])
    whole = permuted("kappa", scores.diagonal().copy(), scores, patient, patient)
    assert isinstance(whole, Influence)
    covered, everyone = [], np.unique(patient)
    for _ in range(REPEATS):
        drawn = random.choice(everyone, len(everyone))
        rows = np.concatenate([np.flatnonzero(patient == one) for one in drawn])
        who = np.concatenate([np.full((patient == one).sum(), place) for place, one in enumerate(drawn)])
        again = scores[np.ix_(rows, rows)].copy()
        again[patient[rows][:, None] == patient[rows]] = np.nan  # a patient drawn twice is still one patient
        found = permuted("kappa", scores[rows, rows], again, who, who)
        assert isinstance(found, Influence)
        low, high = interval(found)
        covered.append(low <= whole.value <= high)
    assert np.mean(covered) > 0.92


REPEATS = 400
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltrate", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
)  # fmt: skip


# Concept counts: a few boxes of other patients per case


def counts_of(random: np.random.Generator, cases: int, others: int, lift: float) -> tuple[Array, Array]:
    """Counts in the own box and in `others` equally spaced others: lively films, large boxes, and chance; NaN where not counted."""
    lively, large = np.exp(0.5 * random.normal(size=cases)), np.exp(0.5 * random.normal(size=cases))

    def draw(rate: Array) -> Array:
        return np.asarray(random.poisson(rate * random.gamma(2, 0.5, rate.shape)), np.float64)

    crossed, each = np.full((cases, cases), np.nan), np.arange(cases)
    for step in range(1, others + 1):
        box = (each + cases * step // (others + 1)) % cases
        crossed[each, box] = draw(3 * lively * large[box])
    return draw(3 * lively * large * np.exp(lift)), crossed


@pytest.mark.parametrize("repeats", [pytest.param(300, id="seconds"), pytest.param(3000, id="nightly", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("lift", "cases"), [(0.0, 80), (0.56, 80), (0.0, 150)])
def test_a_few_boxes_per_case_give_intervals_of_excess_and_lift_that_cover(lift: float, cases: int, repeats: int) -> None:
    """At no lift one less the coverage is the size of the test; 8 others per case as in the dissection."""
    random = np.random.default_rng(17)
    truth = {"excess": 3 * np.exp(0.25) * (np.exp(lift) - 1), "lift": lift}
    covered, found = dict.fromkeys(truth, 0), {name: [] for name in truth}
    for _ in range(repeats):
        own, crossed = counts_of(random, cases, 8, lift)
        for name, value in truth.items():
            one = permuted(name, own, crossed, np.arange(cases), np.arange(cases))  # type: ignore[arg-type]
            assert isinstance(one, Influence)
            low, high = interval(one)
            covered[name] += low <= value <= high
            found[name].append(one.value)
    noise = 2 * np.sqrt(0.05 * 0.95 / repeats)
    for name, value in truth.items():
        sys.stdout.write(f"  {name}: coverage {covered[name] / repeats:.3f} bias {np.mean(found[name]) - value:+.4f}")
        assert 0.93 - noise <= covered[name] / repeats <= 0.98 + noise
        assert abs(np.mean(found[name]) - value) < 4 * np.std(found[name]) / np.sqrt(repeats) + 0.01


def test_what_makes_a_film_lively_or_a_box_large_cancels_exactly_when_all_are_used_equally_often() -> None:
    lively, large = np.random.default_rng(3).random((2, 27))
    crossed, each = np.full((27, 27), np.nan), np.arange(27)
    for step in range(1, 9):
        box = (each + 3 * step) % 27
        crossed[each, box] = lively + large[box]
    found = permuted("excess", lively + large + 1.0, crossed, each, each)
    assert isinstance(found, Influence)
    assert found.value == pytest.approx(1.0)
