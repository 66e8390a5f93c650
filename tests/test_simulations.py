"""Do the intervals cover, do the tests keep their size? Simulated on the real patient layouts of NIH ChestX-ray14.

The sizes here take seconds; `-m slow` runs the same with ten times the replicates, whose figures stand in docs/methods.md.
"""

from __future__ import annotations

import csv
import gzip
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from auditor import Metric
from auditor.statistics.clustered import Group, cluster_t, mean_of_means
from auditor.statistics.compare import compare
from auditor.statistics.decide import Row, decide
from auditor.statistics.delong import area_difference, clustered_area, placements
from auditor.statistics.effect import Drawn, Linear, student_p
from auditor.statistics.keyed import generator
from auditor.statistics.pairing import pair
from auditor.statistics.ranking import Ranking
from auditor.statistics.resampling import every_network, ratio, resample
from auditor.statistics.rows import MACRO, Cohort, Comparison, Values
from auditor.statistics.seeds import crossed, side_of
from auditor.statistics.signflip import sign_flip
from auditor.statistics.simultaneous import simultaneous_levels
from auditor.statistics.studentised import studentise
from auditor.statistics.verdict import within

Layout = Callable[[np.random.Generator], np.ndarray]
"""Draws the patient of every image."""
NETWORKS = ("jrzech_densenet121_bce", "derrick_mobilenetv2_bce", "derrick_resnet50_bce")


def table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def layouts(shared_data: Path) -> dict[str, Layout]:
    """The four layouts: boxes of a small and of a large finding, all boxes, and all films of random patients."""
    folder = shared_data / "nih-tables"
    owner = {row["Image Index"]: int(row["Patient ID"]) for row in table(folder / "Data_Entry_2017_v2020.csv.gz")}
    with gzip.open(folder / "BBox_List_2017.csv.gz", "rt") as file:
        boxes = [row[:2] for row in list(csv.reader(file))[1:]]
    films = np.bincount(np.unique(list(owner.values()), return_inverse=True)[1])

    def fixed(kept: set[str] | None) -> Layout:
        patient = np.unique([owner[image] for image, name in boxes if kept is None or name in kept], return_inverse=True)[1]
        return lambda rng: patient

    def series(rng: np.random.Generator) -> np.ndarray:
        return np.repeat(np.arange(300), films[rng.choice(len(films), 300, replace=False)])

    return {
        "Nodule boxes": fixed({"Nodule"}), "Cardiomegaly boxes": fixed({"Cardiomegaly"}), "all boxes": fixed(None), "all films": series,
    }  # fmt: skip


def skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.exponential(size=n) - 1


def symmetric(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n)


def noise(rng: np.random.Generator, patient: np.ndarray, within_patient: float, draw: Callable[..., np.ndarray]) -> np.ndarray:
    """Mean 0, variance 1, and this correlation between the images of a patient."""
    of_patients = draw(rng, int(patient.max()) + 1)[patient]
    return math.sqrt(within_patient) * of_patients + math.sqrt(1 - within_patient) * draw(rng, len(patient))


def slack(limit: float, repeats: int) -> float:
    """Two standard errors of what so many replicates estimate; the nightly sizes hold without any."""
    return 0.0 if repeats >= NIGHTLY else 2 * math.sqrt(limit * (1 - limit) / repeats)


def told(what: str, share: float) -> None:
    """`pytest -s` shows the figures that docs/methods.md quotes."""
    sys.stdout.write(f"  {what} {share:.3f}")


NIGHTLY = 3000
SIZES = [pytest.param(600, id="seconds"), pytest.param(6000, id="nightly", marks=pytest.mark.slow)]
FEWER = [pytest.param(300, id="seconds"), pytest.param(NIGHTLY, id="nightly", marks=pytest.mark.slow)]
LAYOUTS = [("Nodule boxes", 0.5), ("Cardiomegaly boxes", 0.9), ("all boxes", 0.5), ("all boxes", 0.9), ("all films", 0.5), ("all films", 0.9)]  # fmt: skip


@pytest.mark.parametrize("repeats", SIZES)
@pytest.mark.parametrize(("name", "correlation"), LAYOUTS)
def test_intervals_of_means_cover_in_the_four_layouts(
    layouts: dict[str, Layout], name: str, correlation: float, repeats: int
) -> None:
    rng = generator(20, f"{name} {correlation}", 0)
    covered = 0
    for _ in range(repeats):
        patient = layouts[name](rng)
        low, high = mean_of_means([Group(noise(rng, patient, correlation, skewed), patient)]).interval(0.95)
        covered += low <= 0 <= high
    told("coverage", covered / repeats)
    assert 0.93 - slack(0.93, repeats) <= covered / repeats <= 0.97 + slack(0.97, repeats)


def test_intervals_by_image_do_not_cover_in_the_layout_of_all_films(layouts: dict[str, Layout]) -> None:
    rng = np.random.default_rng(21)
    covered = 0
    for _ in range(200):
        patient = layouts["all films"](rng)
        value = noise(rng, patient, 0.5, skewed)
        low, high = mean_of_means([Group(value, np.arange(len(value)))]).interval(0.95)
        covered += low <= 0 <= high
    assert covered / 200 < 0.75


@pytest.mark.parametrize("repeats", FEWER)
def test_intervals_of_ratios_cover_by_patient_bootstrap_and_with_few_patients_by_bootstrap_t(repeats: int) -> None:
    """The ratio of two means, 2, in 80 patients of 3 images by percentiles and in 20 patients of 5 by bootstrap-t."""
    rng = np.random.default_rng(22)
    covered = {80: 0, 20: 0}
    for number in range(repeats):
        for patients, films in ((80, 3), (20, 5)):
            patient = np.repeat(np.arange(patients), films)
            below = 2 + 0.5 * noise(rng, patient, 0.5, symmetric)
            statistic = ratio(2 * below + 0.5 * noise(rng, patient, 0.5, skewed), below, patient, patients)
            few = patients < 40
            drawn = studentise(statistic, patients, number, 499)[1] if few else resample(statistic, patients, number, 999)
            low, high = Drawn(0.0, drawn, 1.0, patients).interval(0.95)
            covered[patients] += low <= 2 <= high
    for patients, times in covered.items():
        told(f"coverage with {patients} patients", times / repeats)
        assert times / repeats >= 0.93 - slack(0.93, repeats)


@pytest.mark.parametrize("repeats", FEWER)
@pytest.mark.parametrize("name", ["Nodule boxes", "all boxes", "all films", "20 patients of 5"])
def test_sign_flips_by_patient_keep_their_size(layouts: dict[str, Layout], name: str, repeats: int) -> None:
    rng = generator(23, name, 0)
    rejected = 0
    for number in range(repeats):
        patient = layouts[name](rng) if name in layouts else np.repeat(np.arange(20), 5)
        rejected += sign_flip(np.bincount(patient, weights=noise(rng, patient, 0.5, symmetric)), number) < 0.05
    told("size", rejected / repeats)
    assert rejected / repeats <= 0.06 + slack(0.06, repeats)


@pytest.mark.parametrize("repeats", SIZES)
@pytest.mark.parametrize(("name", "correlation"), LAYOUTS)
def test_a_difference_as_large_as_the_margin_is_seldom_called_equivalent(
    layouts: dict[str, Layout], name: str, correlation: float, repeats: int
) -> None:
    """At a margin of four standard errors, where the test has power to spare: the size is that of one one-sided test."""
    rng = generator(24, f"{name} {correlation}", 0)
    called = 0
    for _ in range(repeats):
        patient = layouts[name](rng)
        films = np.bincount(patient)
        error = math.sqrt((films * (1 + (films - 1) * correlation)).sum()) / len(patient)
        value = noise(rng, patient, correlation, symmetric) + 4 * error
        called += within(mean_of_means([Group(value, patient)]), 4 * error)
    told("size", called / repeats)
    assert 0.02 <= called / repeats <= 0.06 + slack(0.06, repeats)


@pytest.mark.parametrize("repeats", SIZES)
@pytest.mark.parametrize("runs", [3, 5])
@pytest.mark.parametrize(("seed_spread", "response"), [(0.01, 0.0), (0.03, 0.0), (0.03, 0.1)])
def test_recipes_that_differ_by_their_seeds_alone_are_seldom_called_different(
    runs: int, seed_spread: float, response: float, repeats: int
) -> None:
    """180 images of 90 patients; the noise has a standard error of about .012, patients may respond differently to the recipes."""
    rng = generator(25, f"{seed_spread} {response} {runs}", 0)
    patient = np.repeat(np.arange(90), 2)
    rejected = naive = 0
    for _ in range(repeats):
        shared = noise(rng, patient, 0.5, symmetric)
        sides, means = [], []
        for _ in range(2):
            answer = shared + response * symmetric(rng, 90)[patient]
            networks = [answer + seed_spread * rng.normal() + 0.1 * symmetric(rng, 180) for _ in range(runs)]
            found = [mean_of_means([Group(network, patient)]) for network in networks]
            sides.append(side_of([one.value for one in found], [one.influence for one in found]))
            means.append(np.mean(networks, axis=0))
        over_patients = mean_of_means([Group(means[0] - means[1], patient)])
        both = crossed(*sides, over_patients.error**2, over_patients.freedom)
        rejected += student_p(over_patients.value, math.sqrt(both.variance), both.freedom) < 0.05
        naive += over_patients.p < 0.05
    told("type I", rejected / repeats)
    told("type I over patients alone", naive / repeats)
    assert rejected / repeats <= 0.07 + slack(0.07, repeats)
    assert naive > rejected


@pytest.mark.parametrize("repeats", FEWER)
def test_intervals_that_hold_together_do_so(repeats: int) -> None:
    """Eight correlated differences in 120 patients: one at a time each is covered, all of them only by the joint level."""
    rng = np.random.default_rng(26)
    patient = np.repeat(np.arange(120), 2)
    together = alone = 0
    for number in range(repeats):
        shared = noise(rng, patient, 0.5, symmetric)
        effects = [mean_of_means([Group(shared + noise(rng, patient, 0.5, symmetric), patient)]) for _ in range(8)]
        (level,) = simultaneous_levels([effects], np.arange(120), number, replicates=999)
        together += all(low <= 0 <= high for low, high in (effect.interval(level) for effect in effects))
        alone += all(low <= 0 <= high for low, high in (effect.interval(0.95) for effect in effects))
    told("joint coverage", together / repeats)
    told("joint coverage of single intervals", alone / repeats)
    assert together / repeats >= 0.93 - slack(0.93, repeats)
    assert alone / repeats < 0.85


def test_intervals_of_the_auroc_cover_with_several_images_of_a_patient() -> None:
    """Binormal scores with a true area of .76 in 150 patients of 4 images; by image they would cover far less."""
    from scipy.special import ndtr

    rng = np.random.default_rng(27)
    patient = np.repeat(np.arange(150), 4)
    covered = by_image = 0
    for _ in range(300):
        positive = rng.random(600) < np.repeat(rng.beta(0.5, 1.0, 150), 4)
        scores = noise(rng, patient, 0.6, symmetric) + positive
        placed = placements(scores, positive)
        for owner in (patient, np.arange(600)):
            low, high = clustered_area(placed, positive, owner).interval(0.95)
            inside = low <= ndtr(1 / math.sqrt(2)) <= high
            covered, by_image = (covered + inside, by_image) if owner is patient else (covered, by_image + inside)
    assert covered / 300 >= 0.93
    assert by_image / 300 < covered / 300 - 0.03


# Three trained networks on 22,433 radiographs of 6,187 patients


@pytest.fixture(scope="session")
def predictions(shared_data: Path) -> tuple[Cohort, list[Values]]:
    folder = shared_data / "predictions-nih"
    labels = table(folder / "labels.csv.gz")
    names = tuple(list(labels[0])[5:-1])
    patients = np.unique([int(row["Patient ID"]) for row in labels], return_inverse=True)[1]
    cohort = Cohort(names, patients, np.array([[int(row[name]) for name in names] for row in labels], np.int8))
    networks = []
    for network in NETWORKS:
        rows = {row["Image Index"]: row for row in table(folder / network / "preds.csv.gz")}
        found = np.array([[float(rows[row["Image Index"]][f"prob_{name}"]) for name in names] for row in labels])
        sample, target = np.indices(found.shape).reshape(2, -1)
        networks.append(Values(sample, target, (np.log(found) - np.log1p(-found)).ravel()))
    return cohort, networks


def test_clustered_delong_is_within_6_percent_of_the_bootstrap_on_real_networks(
    predictions: tuple[Cohort, list[Values]],
) -> None:
    cohort, networks = predictions
    pairs = list(pair([networks[0]], [networks[1]], cohort, labelled=True).values())
    drawn = resample(every_network("auroc", pairs, np.unique(cohort.patients)), 6187, 1, 2048)
    spread = np.nanstd(drawn[:, 0] - drawn[:, 1], axis=1)
    errors = np.array([area_difference(of_class).error for of_class in pairs])
    assert np.abs(errors / spread - 1).max() <= 0.06


def test_a_ranking_of_real_scores_and_its_influence_agree_on_the_area(predictions: tuple[Cohort, list[Values]]) -> None:
    cohort, networks = predictions
    (rare,) = (number for number, name in enumerate(cohort.classes) if name == "Hernia")
    scores = networks[0].value[networks[0].target == rare]
    positive = cohort.labels[:, rare] == 1
    area = clustered_area(placements(scores, positive), positive, cohort.patients)
    alone = Ranking(scores, positive, cohort.patients, 6187).auroc(np.ones((6187, 1), np.float32))[0]
    assert isinstance(area, Linear)
    assert area.value == pytest.approx(alone, abs=1e-12)
    assert isinstance(cluster_t([Group(scores, cohort.patients)]), Linear)


def test_three_real_networks_are_judged_pair_by_pair_at_a_margin_of_two_hundredths(
    predictions: tuple[Cohort, list[Values]],
) -> None:
    cohort, networks = predictions
    metric = Metric("auroc", "Ranks.", statistic="auroc", of="logit")
    rows: list[Row] = []
    for mine, reference in ((0, 1), (0, 2), (1, 2)):
        for contrast in compare(metric, [networks[mine]], [networks[reference]], cohort, 0, replicates=448):
            effect = contrast.pop("effect")  # type: ignore[misc]
            sides = {"strategy": NETWORKS[mine], "reference": NETWORKS[reference], "family": "several"}
            rows.append((Comparison("auroc", "performance", None, **sides, **contrast), effect))  # type: ignore[arg-type]
    judged = decide(rows, ("auroc",), {"auroc": 0.02}, np.unique(cohort.patients), 0)
    found = {(row.strategy[:3], row.reference[8:11], row.class_name): row for row in judged}
    overall = [row for row in judged if row.class_name == MACRO]
    assert [round(row.difference or 0.0, 4) for row in overall] == [0.0077, 0.0166, 0.0089]
    assert [row.verdict for row in overall] == ["different but negligible", "different", "different but negligible"]
    assert {(row.claim, row.n_patients) for row in overall} == {("primary", 6187)}
    assert found["jrz", "mob", "Effusion"].verdict == "equivalent"
    assert found["jrz", "mob", "Emphysema"].verdict == "different"
    assert found["jrz", "mob", "Hernia"].verdict == "inconclusive"
    margins = {row.class_name: row.smallest_margin or 0.0 for row in judged[:14]}
    assert margins["Effusion"] < 0.01 < 0.02 < margins["Pneumonia"] < margins["Hernia"]
    assert all((row.joint_low or 0) <= (row.low or 0) < (row.high or 0) <= (row.joint_high or 0) for row in judged)
