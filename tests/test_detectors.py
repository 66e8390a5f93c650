"""Unit-level detectors: worked example, slow twins, planted truth, and networks that know nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.analyses.detectors import Detectors
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import Box, Conclusion, ConfigError, Number, PluginError, Sample
from auditor.batch import Batch, View
from auditor.detecting import coverage, judge, overlap, permutations
from auditor.measuring import checked_conclusion
from auditor.run import run
from auditor.testing import check_analysis

CLASSES = ("Mass", "Nodule", "Hernia")
Array = np.ndarray[Any, Any]


def views(analysis: Detectors, samples: list[Sample], maps: Array, batch: int, tallies: Any) -> Iterator[View]:
    for first in range(0, len(samples), batch):
        part = slice(first, first + batch)
        one = Batch(samples[part], CLASSES, size=(56, 56), features=torch.from_numpy(maps[part]), seed=5)
        if cases := one.cases(analysis.needs)[0]:
            yield one.view(analysis.needs, cases, None, tallies)


def concluded(samples: list[Sample], maps: Array, batch: int = 16, **options: Any) -> Conclusion:
    """What a run would keep of these maps."""
    analysis = Detectors(**options)
    tallies = analysis.tallies()
    for view in views(analysis, samples, maps, batch, tallies):
        analysis.observe(tallies, view)
    return analysis.look_back(tallies, views(analysis, samples, maps, batch, tallies))


def number(said: Conclusion, metric: str, target: int | None = None) -> Any:
    (found,) = [one for one in said.numbers if (one.metric, one.target) == (metric, target)]
    return found


def cohort(
    seed: int, patients: int = 60, units: int = 32, firing: int = 0, side: int = 5, middle: bool = False, films: int = 1
) -> tuple[list[Sample], Array]:
    """A Mass on every film, smooth noise on 14 x 14 nodes in every unit; the first `firing` units are bright in the box.

    With `middle` both the boxes and the noise are found in the middle of the film: anatomy, without any knowledge of the box.
    """
    random = np.random.default_rng(seed)
    coarse = np.repeat(np.repeat(random.random((patients * films, units, 7, 7)), 2, 2), 2, 3).astype(np.float32)
    if middle:
        down = np.exp(-(((np.arange(14) - 6.5) / 3) ** 2)).astype(np.float32)
        coarse *= down[:, None] * down
    samples = []
    for row in range(patients * films):
        low, high = (4, 6) if middle else (0, 15 - side)
        left, top = random.integers(low, high, 2)
        coarse[row, :firing, top : top + side, left : left + side] += random.random((firing, 1, 1)) + 0.2
        box = Box("Mass", left / 14, top / 14, (left + side) / 14, (top + side) / 14)
        samples.append(Sample(f"film{row:03d}", f"patient{row // films}", (1, 0, 0), (box,)))
    return samples, coarse


# Areas and permutations


def test_a_box_covers_the_cells_of_its_nodes_by_their_share() -> None:
    """Half a column and two whole ones by one row and a quarter of the next, on a grid of 2 x 4."""
    found = coverage([Box("Mass", 0.125, 0.0, 0.75, 0.625)], 2, 4)
    np.testing.assert_allclose(found.reshape(2, 4), [[0.5, 1, 1, 0], [0.125, 0.25, 0.25, 0]])
    twice = coverage([Box("Mass", 0, 0, 0.5, 1), Box("Mass", 0, 0, 1, 0.5)], 2, 2)
    assert twice.tolist() == [1, 1, 1, 0]


@given(st.integers(0, 2**31), st.integers(2, 30), st.integers(1, 12))
@settings(deadline=None, max_examples=50)
def test_permuted_boxes_change_places_patient_by_patient(seed: int, films: int, patients: int) -> None:
    random = np.random.default_rng(seed)
    patient = random.integers(0, patients, films) * 7
    for partner in permutations(patient, 5, random):
        whose = patient[partner]
        taken = {one: set(whose[patient == one].tolist()) for one in set(patient.tolist())}
        assert all(len(others) == 1 for others in taken.values())  # a patient takes the boxes of one patient
        assert sorted(other for others in taken.values() for other in others) == sorted(taken)  # and every one is taken once
        for one, (other,) in taken.items():
            used = partner[patient == one]
            assert len(set(used.tolist())) == min((patient == one).sum(), (patient == other).sum())


def test_overlap_equals_counting_node_by_node() -> None:
    random = np.random.default_rng(0)
    masks, covered = random.random((5, 70, 12)) < 0.3, random.random((5, 12)).astype(np.float32)
    patient = np.array([4, 4, 6, 8, 9])
    partners = permutations(patient, 3, random)
    found = overlap(np.packbits(masks, axis=2), covered, patient, partners)
    for unit in range(70):
        both = np.array([[sum(covered[j, x] for x in range(12) if masks[i, unit, x]) for j in range(5)] for i in range(5)])
        np.testing.assert_allclose(found.own[:, unit], both.diagonal(), rtol=1e-5)
        np.testing.assert_allclose(found.as_map[:, unit], both.mean(1), rtol=1e-5)
        np.testing.assert_allclose(found.as_box[:, unit], both.mean(0), rtol=1e-5)
        twin = [sum(both[i, partner[i]] for i in range(5)) for partner in partners]
        np.testing.assert_allclose(found.sums[:, unit], twin, rtol=1e-5)
    np.testing.assert_allclose(found.area, masks.sum(2))
    np.testing.assert_allclose(found.box_sums, [sum(covered[j].sum() for j in partner) for partner in partners], rtol=1e-5)


def test_the_adjusted_p_is_the_share_of_permutations_whose_largest_passing_z_is_as_large() -> None:
    random = np.random.default_rng(1)
    masks, covered = random.random((12, 6, 20)) < 0.3, (random.random((12, 20)) < 0.3).astype(np.float32)
    masks[:, 0] |= covered > 0
    patient = np.arange(12)
    found = overlap(np.packbits(masks, axis=2), covered, patient, permutations(patient, 99, random))
    judged = judge([found], 0.2, random, 99)
    union = found.area.sum(0) + found.box_sums[:, None] - found.sums
    null = found.sums / union
    z, mean, spread = [], null.mean(0), null.std(0)
    for permuted in null:
        passing = [(permuted[u] - mean[u]) / spread[u] for u in range(6) if permuted[u] > 0.2]
        z.append(max(passing, default=-np.inf))
    own = found.own.sum(0) / (found.area.sum(0) + covered.sum() - found.own.sum(0))
    for unit in range(6):
        at_least = sum(one >= (own[unit] - mean[unit]) / spread[unit] - 1e-9 for one in z)
        assert judged.iou[0, unit] == pytest.approx(own[unit])
        assert judged.p[0, unit] == pytest.approx((1 + at_least) / 100, abs=0.0101)
    assert judged.controlled[0] == 0
    assert (judged.controlled >= 0).tolist() == [judged.p[0, u] <= 0.05 and own[u] > 0.2 for u in range(6)]


# The analysis


def test_worked_example_of_one_unit_that_covers_half_of_every_box() -> None:
    """Boxes of 2 x 2 of 4 x 4 nodes in 20 patients, each in one of two corners; unit 0 is active in 2 nodes, both in the box:
    40 of 80 nodes overlap, an IoU of .5. Unit 1 is active in 2 nodes of a third corner: it never overlaps.
    """
    samples, maps = [], np.zeros((20, 2, 4, 4), np.float32)
    for row in range(20):
        corner = 2 * (row % 2)
        maps[row, 0, corner, corner : corner + 2] = 1 + row
        maps[row, 1, 3, 0:2] = 1 + row
        edges = (corner / 4, corner / 4, corner / 4 + 0.5, corner / 4 + 0.5)
        samples.append(Sample(f"film{row:02d}", f"patient{row}", (1, 0, 0), (Box("Mass", *edges),)))
    said = concluded(samples, maps, quantile=0.2)
    assert [(one.unit, one.target, one.iou) for one in said.detectors] == [(0, 0, pytest.approx(0.5))]
    assert said.detectors[0].p <= 0.05
    assert number(said, "published_detectors").value == number(said, "controlled_detectors", 0).value == 1
    assert number(said, "published_detectors", 0).n == number(said, "published_detectors", 0).n_patients == 20
    assert number(said, "published_detectors", 1).missing == "no box of this class"


def test_six_of_32_units_that_fire_in_the_box_are_all_found_and_no_other() -> None:
    said = concluded(*cohort(1, firing=6))
    assert [one.unit for one in sorted(said.detectors)] == list(range(6))
    assert {one.target for one in said.detectors} == {0}
    found = number(said, "controlled_detectors")
    assert (found.value, found.n, found.n_patients, found.note) == (6, 60, 60, None)
    assert found.low <= 6 <= found.high
    assert found.low >= 4
    assert number(said, "controlled_detectors_by_chance").value < 0.2


@pytest.mark.parametrize("quantile", [0.05, 0.01, 0.005])
def test_units_that_know_nothing_pass_the_published_rule_by_the_dozen_and_not_the_controlled_one(quantile: float) -> None:
    said = concluded(*cohort(3, units=128, side=7, middle=True), quantile=quantile, iou=min(0.04, 2 * quantile))
    published, chance = number(said, "published_detectors"), number(said, "published_detectors_by_chance")
    assert published.value >= 24
    assert published.value == pytest.approx(chance.value, abs=12)
    assert number(said, "controlled_detectors").value <= 2


def test_a_unit_counts_for_the_class_that_it_overlaps_most() -> None:
    samples, maps = cohort(4, firing=3)
    both = [
        Sample(one.id, one.patient, (1, 1, 0), (*one.boxes, Box("Nodule", 0, 0, one.boxes[0].left + 0.1, 0.3)))
        for one in samples
    ]
    said = concluded(both, maps)
    units = [one.unit for one in said.detectors]
    assert len(units) == len(set(units)) == number(said, "controlled_detectors").value
    per_class = [number(said, "controlled_detectors", target).value for target in (0, 1)]
    assert sum(per_class) == len(units)
    assert per_class[0] >= 3


def test_conclusions_do_not_depend_on_the_batches() -> None:
    samples, maps = cohort(5, patients=30, firing=2, films=2)
    assert concluded(samples, maps, batch=60) == concluded(samples, maps, batch=7)


def test_a_dead_network_and_a_single_patient_have_no_detectors_and_say_so() -> None:
    samples, maps = cohort(6, patients=20)
    dead = concluded(samples, np.zeros_like(maps))
    assert number(dead, "published_detectors").value == number(dead, "controlled_detectors").value == 0
    assert dead.detectors == ()
    alone = [Sample(one.id, "one patient", one.labels, one.boxes) for one in samples]
    assert number(concluded(alone, maps), "controlled_detectors").missing == "boxes of fewer than 2 patients"
    assert number(concluded(alone, maps), "controlled_detectors", 1).missing == "no box of this class"


def test_an_interval_over_few_patients_is_marked() -> None:
    said = concluded(*cohort(7, patients=12, firing=2))
    assert number(said, "controlled_detectors").note == "fewer than 20 patients: interval not reliable"


@pytest.mark.parametrize("repeats", [pytest.param(12, id="seconds"), pytest.param(200, id="nightly", marks=pytest.mark.slow)])
def test_networks_without_any_detector_seldom_show_one(repeats: int) -> None:
    """Boxes and activity share their anatomy, patients have two films; at most 5 % of such networks show a controlled detector."""
    shown = [
        bool(concluded(*cohort(seed, patients=40, units=64, side=7, middle=True, films=2), permutations=199).detectors)
        for seed in range(repeats)
    ]
    assert np.mean(shown) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / repeats)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantile": 0.0}, "quantile: 0.0 is not between 0 and 1"),
        ({"iou": 1.0}, "iou: 1.0 is not between 0 and 1"),
        ({"permutations": 9}, "permutations: 9 is not 99 or more"),
        ({"resamples": 0}, "resamples: 0 is not 99 or more"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Detectors(**options)


def test_it_keeps_the_contract_of_an_analysis() -> None:
    check_analysis(Detectors())


# In an audit


def told(out: Path) -> tuple[list[Any], list[Any]]:
    """The numbers and the units that results.json has."""
    found = json.loads((out / "results.json").read_text())
    return [row for row in found["summaries"] if row["analysis"] == "detectors"], found["detectors"]


def test_an_audit_tells_the_detectors_of_every_network_and_measures_them_once(
    write_audit: Callable[..., Path], tmp_path: Path, counts: Counter[str]
) -> None:
    path = write_audit(analyses="[performance, {use: detectors, quantile: 0.04}]")
    run(path, tmp_path / "out", device="cpu")
    numbers, units = told(tmp_path / "out")
    assert {(row["strategy"], row["class"]) for row in numbers} == {
        (strategy, name) for strategy in ("bce", "focal") for name in ("Nodule", "Effusion", "Mass", "(model)")
    }
    for row in numbers:
        if row["metric"] == "controlled_detectors":
            named = [one for one in units if (one["model"], one["class"]) == (row["model"], row["class"])]
            assert row["class"] == "(model)" or row["value"] == len(named)
    assert units
    assert all(one["iou"] > 0.04 and one["p"] <= 0.05 for one in units)
    counts.clear()
    run(path, tmp_path / "out", device="cpu")
    assert told(tmp_path / "out") == (numbers, units)
    assert counts["reads"] == counts["forwards"] == 0


def test_features_thinned_for_the_dissection_too_give_the_same_detectors(
    write_audit: Callable[..., Path], tmp_path: Path
) -> None:
    alone = write_audit(tmp_path / "a", analyses="[detectors]")
    both = write_audit(tmp_path / "b", analyses="[{use: dissection, quantile: 0.04}, detectors]", batch="8")
    for path in (alone, both):
        run(path, path.parent / "out", device="cpu")
    assert told(tmp_path / "a" / "out") == told(tmp_path / "b" / "out")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (Number("detector", None, 1.0, 1, 1), "measured 'detector', which it does not declare"),
        (Number("controlled_detectors", None, -1.0, 1, 1), "-1, below its bound 0"),
        (Number("controlled_detectors", None, None, 1, 1), "needs a value or a reason why it is missing, and not both"),
        (Number("controlled_detectors", None, 1.0, 1, 1, missing="none"), "and not both"),
        (Number("controlled_detectors", None, float("nan"), 1, 1), "a missing number has a reason instead"),
    ],
)
def test_a_conclusion_that_breaks_its_promises_is_refused(number: Number, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        checked_conclusion(Detectors(), Conclusion((number,)))
