"""Subgroups: worked examples, oracles, planted truth and none, and what audit.yaml may say of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from auditor_plugins.datasets.image_folder import ImageFolder
from auditor_plugins.datasets.planted import Planted
from grouped import write
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from auditor import Metric, Sample
from auditor.errors import ConfigError, DatasetError
from auditor.groups import Grouping, groups
from auditor.run import run
from auditor.statistics.columns import Columns
from auditor.statistics.rows import MACRO, Cohort, Values
from auditor.statistics.subgroups import between_strategies, by_class, differences, levels, shared_cases

Array = np.ndarray[Any, Any]
AUROC = Metric("auroc", "How well cases are ranked.", "higher", 0, 1, statistic="auroc", of="logit")
MEAN = Metric("hit", "Share of hits.", "higher", 0, 1)


def cohort(patient: Array, labels: Array) -> Cohort:
    return Cohort(tuple(f"class{k}" for k in range(labels.shape[1])), patient.astype(np.int64), labels.astype(np.int8))


def column(name: str, values: Array) -> Columns:
    """Values [S, K] of every sample and class."""
    sample, target = np.divmod(np.arange(values.size), values.shape[1])
    return Columns({name: Values(sample, target, values.ravel().astype(float))})


def sides(metric: Metric, networks: list[Columns], who: Cohort, group: Array) -> tuple[Any, Any]:
    cases = shared_cases(metric, networks, who)
    return tuple(by_class(metric, networks, who, cases, np.flatnonzero(group == code)) for code in (0, 1))  # type: ignore[return-value]


# Worked examples and oracles


def test_worked_example_of_a_mean() -> None:
    """20 patients with 15 hits against 20 with 5, an image each: 0.75 - 0.25; SE^2 = 2 * (20/19) * 0.75 * 0.25 / 20."""
    who = cohort(np.arange(40), np.ones((40, 1)))
    hits = column("hit", np.array([1] * 15 + [0] * 5 + [1] * 5 + [0] * 15)[:, None])
    inside, others = sides(MEAN, [hits], who, np.repeat([0, 1], 20))
    row, over = differences(inside, others, who)
    assert row.found.value == over.found.value == pytest.approx(0.5)  # type: ignore[union-attr]
    assert row.effect is not None
    assert row.effect.error == pytest.approx((2 * 20 / 19 * 0.75 * 0.25 / 20) ** 0.5)
    assert row.found.cases == 40  # type: ignore[union-attr]
    level, _ = levels(MEAN, inside, who, {0: None})
    assert (level.found.value, level.found.cases) == (0.75, 20)  # type: ignore[union-attr]


def test_a_patient_of_both_groups_counts_once() -> None:
    """Every patient has an image in either group, with the same value + 0.1: the difference is 0.1 for sure."""
    values = np.random.default_rng(0).random(30) * 0.9
    who = cohort(np.tile(np.arange(30), 2), np.ones((60, 1)))
    both = column("hit", np.concatenate([values + 0.1, values])[:, None])
    inside, others = sides(MEAN, [both], who, np.repeat([0, 1], 30))
    row, _ = differences(inside, others, who)
    told = row.fields()
    assert told["value"] == pytest.approx(0.1)
    assert told["note"] == "no patient differs: no interval"
    assert row.effect is None, "an interval of no width claims certainty"
    assert "low" not in told


def test_levels_are_those_of_scikit_learn_and_the_error_is_that_of_two_samples() -> None:
    random = np.random.default_rng(1)
    labels, group = random.integers(0, 2, (300, 2)), random.integers(0, 2, 300)
    logits = random.normal(0, 1, (300, 2)) + labels
    who, networks = cohort(np.arange(300), labels), [column("logit", logits)]
    inside, others = sides(AUROC, networks, who, group)
    for found, code in ((inside, 0), (others, 1)):
        for number, row in enumerate(levels(AUROC, found, who, {0: 1, 1: 1})[:2]):
            mine = group == code
            assert row.found.value == pytest.approx(roc_auc_score(labels[mine, number], logits[mine, number]))  # type: ignore[union-attr]
    row = differences(inside, others, who)[0]
    parts = [found[0][0].influence for found in (inside, others)]
    assert row.effect is not None
    assert row.effect.error**2 == pytest.approx(sum(float((part**2).sum()) for part in parts))


def test_strategies_that_do_the_same_do_not_differ_in_a_difference() -> None:
    random = np.random.default_rng(2)
    labels, group = random.integers(0, 2, (200, 1)), random.integers(0, 2, 200)
    who, one = cohort(np.arange(200), labels), column("logit", random.normal(0, 1, (200, 1)) + labels)
    both = sides(AUROC, [one], who, group)
    row, over = between_strategies(both, both, who)
    assert (row.fields()["value"], row.fields()["note"], row.effect) == (0, "no patient differs: no interval", None)
    assert over.class_name == MACRO


@pytest.mark.parametrize(
    ("patients", "positives", "images", "why"),
    [
        (19, 10, 60, "not estimable (19 patients; 20 are needed)"),
        (60, 9, 60, "not estimable (9 positives; 10 are needed)"),
        (60, 52, 60, "not estimable (8 negatives; 10 are needed)"),
    ],
)
def test_too_few_is_said_and_is_no_number(patients: int, positives: int, images: int, why: str) -> None:
    labels = np.zeros((2 * images, 1), int)
    labels[:positives] = 1
    labels[images : images + 30] = 1
    patient = np.concatenate([np.arange(images) % patients, 1000 + np.arange(images)])
    who = cohort(patient, labels)
    inside, others = sides(
        AUROC, [column("logit", np.random.default_rng(3).random((2 * images, 1)))], who, np.repeat([0, 1], images)
    )
    assert [row.found for row in levels(AUROC, inside, who, {0: positives})] == [why, why]
    assert [row.found for row in differences(inside, others, who)] == [why, why]
    assert [row.found for row in differences(others, inside, who)] == [f"{why} in the others"] * 2


def test_a_class_that_only_one_group_has_is_left_out_of_the_mean_and_named() -> None:
    random = np.random.default_rng(4)
    labels, group = random.integers(0, 2, (200, 2)), np.repeat([0, 1], 100)
    labels[:100, 1] = 0
    who = cohort(np.arange(200), labels)
    inside, others = sides(AUROC, [column("logit", random.normal(0, 1, (200, 2)) + labels)], who, group)
    *rows, over = differences(inside, others, who)
    assert rows[1].found == "not estimable (0 positives; 10 are needed)"
    assert over.found.value == rows[0].found.value  # type: ignore[union-attr]
    assert over.note == "1 of 2 classes left out: class1"


# Groups


def test_bands_hold_their_lower_end_and_read_ages_as_dicom_writes_them() -> None:
    said = ["39", "40", "59.5", "60", "058Y", "006M", "", "unknown", "nan"]
    samples = [Sample(str(n), str(n), (), metadata={"age": text}) for n, text in enumerate(said)]
    found = groups(Grouping.model_validate({"by": "age", "bands": [40, 60]}), samples)
    assert found.names == ("below 40", "40 to below 60", "60 and above")
    assert found.code.tolist() == [0, 1, 1, 2, 1, 0, -1, -1, -1]


def test_names_are_groups_in_order_and_an_empty_one_is_unknown() -> None:
    samples = [Sample(text, text, (), metadata={"sex": text}) for text in ("M", " F", "", "M ")]
    found = groups(Grouping.model_validate("sex"), samples)
    assert (found.names, found.code.tolist()) == (("F", "M"), [1, 0, -1, 1])


# An audit


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("groups")
    run(write(folder), folder / "run", device="cpu")
    return folder / "run"


def rows_of(run_folder: Path, **about: Any) -> list[dict[str, Any]]:
    found = json.loads((run_folder / "results.json").read_text())["subgroups"]
    return [row for row in found if all(row[name] == value for name, value in about.items())]


def test_a_planted_difference_is_found_with_its_size_and_only_where_it_is(audited: Path) -> None:
    """Binormal AUROC: Phi(2 / sqrt 2) for women, Phi(0.5 / sqrt 2) for men under `plain`; the same for both under `fair`."""
    truth = norm.cdf(2 / 2**0.5) - norm.cdf(0.5 / 2**0.5)
    about = {"by": "sex", "metric": "auroc", "class": MACRO}
    (plain,) = rows_of(audited, strategy="plain", reference=None, against="M", **about)
    assert plain["low"] < truth < plain["high"]
    assert plain["high"] - plain["low"] < 0.2
    assert (plain["claim"], plain["verdict"], plain["group"]) == ("primary", "different", "F")
    (fair,) = rows_of(audited, strategy="fair", reference=None, against="M", **about)
    assert fair["verdict"] == "inconclusive"
    (between,) = rows_of(audited, strategy="fair", reference="plain", **about)
    assert between["low"] < -truth < between["high"] < 0
    assert between["verdict"] == "different"


def test_page_one_tells_the_declared_claim_and_the_section_the_numbers(audited: Path) -> None:
    found = json.loads((audited / "results.json").read_text())
    said = [row for row in found["findings"] if "By sex" in row["text"]]
    assert [row["kind"] for row in said] == ["result", "note"]
    assert said[0]["text"].startswith("By sex: F and M differ in AUROC, mean over the classes under plain: +0.")
    assert "declared beforehand, p <\u00a00.001 adjusted by Holm" in said[0]["text"]
    page = (audited / "report.html").read_text()
    assert "Who it holds for" in page
    assert "60 and above" in page
    told = {row["by"]: row for row in found["audit"]["subgroups"]}
    assert sum(group["images"] for group in told["sex"]["groups"]) + told["sex"]["unknown"] == found["dataset"]["images"]


def test_exploratory_rows_are_adjusted_by_holm_within_their_family(audited: Path) -> None:
    rows = [row for row in rows_of(audited, by="age", metric="auroc") if row["p"] is not None]
    assert {row["claim"] for row in rows} == {"exploratory"}
    ordered = sorted(rows, key=lambda row: row["p"])
    assert ordered[0]["p_adjusted"] == pytest.approx(min(1, len(rows) * ordered[0]["p"]))
    assert all(row["p_adjusted"] >= row["p"] for row in rows)


def test_no_age_is_in_the_results_only_bands(audited: Path) -> None:
    """An age of 83 must not be told; all that is told of age are the bands and their counts."""
    said = json.loads((audited / "results.json").read_text())
    assert {row["group"] for row in rows_of(audited, by="age")} == {"below 40", "40 to below 60", "60 and above"}
    assert set(said["audit"]["subgroups"][1]) == {"by", "bands", "groups", "unknown", "metrics", "primary", "afterwards"}
    assert "metadata" not in json.dumps(said)


def test_subgroups_that_were_written_afterwards_are_said_to_be(audited: Path) -> None:
    """The same run folder, with another declaration; nothing is measured again."""
    path = audited.parent / "audit.yaml"
    path.write_text(path.read_text().replace("bands: [40, 60]}", "bands: [40, 60], primary: [auroc]}"))
    run(path, audited, device="cpu")
    said = [row["text"] for row in json.loads((audited / "results.json").read_text())["findings"] if "By age" in row["text"]]
    assert said
    assert all("declared after the data had been measured" in text for text in said)


@pytest.mark.parametrize(
    ("subgroups", "line"),
    [
        ("[sexx]", "subgroups[0]: found 'sexx'; allowed: an attribute that the data set has: age, sex; did you mean sex?"),
        (
            "[age]",
            "subgroups[0]: found 70 different values of 'age'; allowed: at most 12, or bands of numbers: {by: age, bands: [40, 60]}",
        ),
        ("[{by: sex, bands: [40]}]", "subgroups[0]: found bands for 'sex', of which no value is a number; leave bands out"),
        (
            "[{by: age, bands: [10]}]",
            "subgroups[0]: found all images in one group of 'age'; allowed: an attribute that tells images apart",
        ),
        ("[{by: age, bands: [60, 40]}]", "subgroups[0].bands: the bands must rise, as in [40, 60]"),
        ("[sex, sex]", "subgroups[1]: found 'sex' as in subgroups[0]; allowed: an attribute once"),
        (
            "[{by: sex, metrics: [aurok]}]",
            "subgroups[0].metrics[0]: found 'aurok'; allowed: a metric that can be told by group: ",
        ),
        (
            "[{by: sex, band: [40]}]",
            "subgroups[0].band: unknown key; allowed: by, bands, metrics, primary; did you mean bands?",
        ),
    ],
)
def test_mistakes_are_told_with_their_place_and_the_nearest_name(subgroups: str, line: str, tmp_path: Path) -> None:
    path = write(tmp_path, subgroups=subgroups)
    with pytest.raises(ConfigError) as error:
        run(path, tmp_path / "run", device="cpu")
    assert line in str(error.value), str(error.value)


def test_a_data_set_without_attributes_says_so(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found 'sex'; allowed: none; this data set says nothing of its images"):
        run(write_audit(subgroups="[sex]"), tmp_path / "run", device="cpu")


@pytest.mark.slow
def test_intervals_cover_and_tests_keep_their_level() -> None:
    """400 studies of correlated patients without a difference: at most 8 % are called different; and with one: 91 % cover it."""
    false = covered = 0
    truth = norm.cdf(2 / 2**0.5) - norm.cdf(1 / 2**0.5)
    for seed in range(400):
        random = np.random.default_rng(seed)
        patient = np.repeat(np.arange(200), 2)
        group, own = np.repeat(random.integers(0, 2, 200), 2), np.repeat(random.normal(0, 0.7, 200), 2)
        labels = random.integers(0, 2, (400, 1))
        noise = (own + random.normal(0, 0.51**0.5, 400))[:, None]
        who = cohort(patient, labels)
        for planted in (0, 1):
            logits = noise + labels * (2 - planted * group[:, None])
            row = differences(*sides(AUROC, [column("logit", logits)], who, group), who)[0]
            assert row.effect is not None
            low, high = row.effect.interval(0.95)
            if planted:
                covered += low <= truth <= high
            else:
                false += row.effect.p < 0.05
    assert false <= 0.08 * 400
    assert covered >= 0.91 * 400


# Data sets


def test_planted_groups_are_of_patients_and_the_dial_makes_one_fainter() -> None:
    alike, apart = (Planted(images=300, size=64, group_gap=gap) for gap in (0.0, 0.8))
    first, second = alike.index(), apart.index()
    assert {sample.metadata["group"] for sample in first} == {"A", "B"}
    by_patient: dict[str, set[str]] = {}
    for sample in first:
        by_patient.setdefault(sample.patient, set()).add(sample.metadata["group"])
    assert all(len(names) == 1 for names in by_patient.values())
    assert [sample.labels for sample in first] == [sample.labels for sample in second]
    for name, same in (("A", True), ("B", False)):
        shown = next(n for n, s in enumerate(first) if s.metadata["group"] == name and s.labels[1])
        pixels = [data.read(samples[shown]) for data, samples in ((alike, first), (apart, second))]
        assert np.array_equal(*pixels) is same
    assert "fainter" in apart.notes()[-1]
    assert "fainter" not in " ".join(alike.notes())


def test_columns_named_as_groups_are_said_of_the_samples_and_are_no_classes(tmp_path: Path) -> None:
    write(tmp_path, images=30)
    table = ImageFolder(table=tmp_path / "images.csv", groups=("sex", "age"))
    assert table.classes() == ("Mass", "Nodule")
    assert set(table.index()[0].metadata) == {"sex", "age"}
    with pytest.raises(DatasetError, match="groups: no column 'sexx'; there is image, patient, sex"):
        ImageFolder(table=tmp_path / "images.csv", groups=("sexx",)).index()
