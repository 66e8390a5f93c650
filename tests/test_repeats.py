"""The same contrasts under a changed assumption: boxes of another size, one image per patient; never a claim of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor import Box, ConfigError, run
from auditor.boxes import Frame, resized
from auditor.dataset import Sample
from auditor.elsewhere import Elsewhere
from auditor.evidence import Evidence, read
from auditor.results_schema import Results
from auditor.statistics.columns import Columns
from auditor.statistics.one_per_patient import kept, thinned, thinned_cohort
from auditor.statistics.rows import Cohort, Values

ASSUMING = {"boxes 10 % larger", "boxes 10 % smaller", "one image per patient"}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    folder = tmp_path_factory.mktemp("repeats")
    lens = "preprocessing: {size: 32, mean: [0, 0, 0], std: [1, 1, 1]}"
    models = "".join(
        f"  - {{use: tiny_network, strategy: {name}, weights: {seed}, {lens}}}\n" for name, seed in (("bce", 1), ("focal", 2))
    )
    tiny = Path(__file__).parent / "plugins_for_tests" / "tiny.py"
    (folder / "audit.yaml").write_text(
        f"title: repeats\ndataset: {{use: tiny, images: 90}}\nmodels:\n{models}reference: bce\nattributions: [gradcam]\n"
        f"analyses: [performance, outcomes, alignment]\nclaims: {{primary: [auroc, kappa_loc, sensitivity]}}\n"
        f"controls: false\nreport: {{formats: [html]}}\nplugins: ['{tiny}']\nbatch: 4\n"
    )
    result = run.run(folder / "audit.yaml", folder / "out", device="cpu")
    assert result.exit_code == 0, result.messages
    Results.model_validate(json.loads((folder / "out" / "results.json").read_text()))
    found = read(folder / "out")
    assert Evidence.from_json(found.to_json()).to_json() == found.to_json()
    return found


def test_a_box_is_resized_about_its_centre_and_clipped_to_the_image() -> None:
    larger = resized(Box("Mass", 0.2, 0.4, 0.4, 0.8), 1.1)
    assert (larger.left, larger.top, larger.right, larger.bottom) == pytest.approx((0.19, 0.38, 0.41, 0.82))
    edge = resized(Box("Mass", 0.0, 0.5, 0.5, 1.0), 1.1)
    assert (edge.left, edge.top, edge.right, edge.bottom) == pytest.approx((0.0, 0.475, 0.525, 1.0))


@given(st.floats(0.01, 0.4), st.floats(0.6, 0.99), st.sampled_from([0.9, 1.0, 1.1]))
def test_resizing_keeps_the_centre_and_scales_the_sides(low: float, high: float, scale: float) -> None:
    box = Box("Mass", low, low, high, high)
    found = resized(box, scale)
    if found.left > 0 and found.right < 1:
        assert found.left + found.right == pytest.approx(box.left + box.right)
        assert found.right - found.left == pytest.approx(scale * (box.right - box.left))


def test_boxes_of_other_images_are_resized_alike() -> None:
    box = Box("Mass", 0.25, 0.25, 0.75, 0.75)
    where = Elsewhere([Sample("a", "p", (1,), (box,))], ("Mass",))
    sizes = [where.regions(0, Frame(), (40, 40), scale).rectangles.tolist() for scale in (1.0, 1.1, 0.9)]
    assert sizes == [[[10, 10, 30, 30]], [[9, 9, 31, 31]], [[11, 11, 29, 29]]]


def test_a_repetition_is_told_beside_its_contrast_and_carries_no_verdict(evidence: Evidence) -> None:
    assert {row.assuming for row in evidence.repeated} == ASSUMING
    named = {(row.metric, row.assuming) for row in evidence.repeated}
    assert {("kappa_loc", name) for name in ASSUMING} < named
    assert {("auroc", "one image per patient"), ("sensitivity", "one image per patient"), ("cbl", "boxes 10 % larger")} < named
    assert ("average_precision", "one image per patient") not in named, "it is no primary claim"
    assert not [row for row in evidence.comparisons if row.metric.endswith("_boxes")]
    mains = {(row.metric, row.class_name, row.strategy) for row in evidence.comparisons}
    assert {(row.metric, row.class_name, row.strategy) for row in evidence.repeated} <= mains


def test_families_are_the_same_as_without_the_repetitions(evidence: Evidence) -> None:
    primary = [row for row in evidence.comparisons if row.claim == "primary"]
    assert {(row.metric, row.class_name) for row in primary} == {
        ("auroc", "(macro)"), ("kappa_loc", "(macro)"), ("sensitivity", "(macro)"),
    }  # fmt: skip


def test_one_image_per_patient_counts_every_patient_once(evidence: Evidence) -> None:
    rows = [row for row in evidence.repeated if row.assuming == "one image per patient" and row.class_name not in ("(macro)",)]
    assert rows
    for row in rows:
        assert row.n_cases == row.n_patients, row
    (main,) = evidence.contrasts("auroc", class_name="Nodule")
    assert (main.n_cases, main.n_patients) == (90, 30)


def test_larger_boxes_change_the_number_and_do_not_turn_it(evidence: Evidence) -> None:
    for row in (row for row in evidence.repeated if row.metric == "kappa_loc" and row.class_name == "Nodule"):
        (main,) = evidence.contrasts("kappa_loc", class_name="Nodule")
        assert row.difference == pytest.approx(main.difference, abs=0.05)
        if row.assuming == "boxes 10 % larger":
            assert row.difference != main.difference


def test_the_report_shows_repetitions_as_no_claims(evidence: Evidence) -> None:
    from auditor_plugins.sections.where_it_looks import WhereItLooks

    from auditor.report import new_environment, section_body

    body = section_body(new_environment(), WhereItLooks, evidence)
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))
    assert "does it hang on an arbitrary choice?" in words
    for name in ASSUMING:
        assert name in words
    assert "kappa loc larger boxes" not in words.lower()


cases = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.booleans()), min_size=1, max_size=30)


@given(cases, st.randoms(use_true_random=False))
def test_the_cases_kept_equal_a_loop(rows: list[tuple[int, int, bool]], random: Any) -> None:
    patients = np.array([patient for patient, _, _ in rows])
    target = np.array([number for _, number, _ in rows])
    value = np.array([np.nan if lost else 1.0 for _, _, lost in rows])
    order = list(range(len(rows)))
    random.shuffle(order)
    column = Values(np.arange(len(rows)), target, value)
    cohort = Cohort(("a", "b"), patients, np.zeros((len(rows), 2), np.int8))
    expected = []
    for number in (0, 1):
        for patient in range(5):
            mine = [n for n in range(len(rows)) if (patients[n], target[n]) == (patient, number) and value[n] == 1]
            if mine:
                expected.append(number * len(rows) + min(mine, key=lambda n: order[n]))
    found = kept([column], cohort, np.array(order))
    assert found.tolist() == sorted(expected)
    network = thinned(Columns({"x": column}, {}), found, len(rows))
    assert len(network.values["x"].value) == len(expected)


def test_only_cases_with_a_value_in_every_network_are_chosen_from() -> None:
    cohort = Cohort(("a",), np.zeros(2, np.int64), np.zeros((2, 1), np.int8), boxed=((0, 1),))
    first = Values(np.arange(2), np.zeros(2, np.int64), np.array([np.nan, 1.0]))
    second = Values(np.arange(2), np.zeros(2, np.int64), np.array([1.0, 1.0]))
    found = kept([first, second], cohort, np.arange(2))
    assert found.tolist() == [1]
    assert thinned_cohort(cohort, found).boxed == ((-1, 1),)


def test_where_every_patient_has_one_image_nothing_is_left_out() -> None:
    column = Values(np.arange(6), np.tile([0, 1], 3), np.ones(6))
    cohort = Cohort(("a", "b"), np.arange(6), np.zeros((6, 2), np.int8))
    found = kept([column], cohort, np.arange(6)[::-1])
    same = thinned(Columns({"x": column}, {}), found, 6).values["x"]
    np.testing.assert_array_equal(same.value, column.value)


def test_a_claim_about_a_repetition_is_refused(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    audit = write_audit(claims="{primary: [kappa_loc_larger_boxes]}")
    with pytest.raises(
        ConfigError, match=r"claims.primary\[0\]: found 'kappa_loc_larger_boxes'; allowed: a metric that is contrasted"
    ):
        run.run(audit, tmp_path / "out", device="cpu")
    audit = write_audit(analyses="[outcomes]", claims="{primary: [specificity]}")
    with pytest.raises(ConfigError, match=r"found 'specificity'; allowed: a metric that is contrasted: sensitivity"):
        run.run(audit, tmp_path / "out", device="cpu")
