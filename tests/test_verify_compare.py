"""How `auditor verify` compares: rows by what they are about, pages by piece, and numbers that rest on draws by what draws allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor import Metric
from auditor.statistics.compare import compare as contrast
from auditor.statistics.rows import MACRO, Cohort, Values
from auditor.verification import compare, drawn, page
from auditor.verification.found import Difference, Level, exit_code

EMPTY: dict[str, Any] = {**{name: [] for name in compare.TABLES}, **{name: {} for name in compare.WHOLE}}
ROW = {"metric": "auroc", "model": "a", "class": "Mass", "value": 0.8125, "missing": None}


def results(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**EMPTY, "summaries": list(rows), **more}


def lines(told: dict[str, Any], made: dict[str, Any]) -> list[str]:
    return [difference.line() for difference in compare.differences(told, made)[0]]


def test_equal_results_have_no_difference_and_their_numbers_are_counted() -> None:
    assert compare.differences(results(ROW), results(dict(ROW))) == ([], 1)


def test_rows_are_told_apart_by_what_they_are_about_and_not_by_their_place() -> None:
    other = {**ROW, "class": "Nodule", "value": 0.5}
    assert lines(results(ROW, other), results(other, ROW)) == []
    assert lines(results(ROW, other), results({**ROW, "value": 0.5}, other)) == [
        "results.json, summaries, auroc, a, Mass: value is 0.8125; from the cases it is 0.5"
    ]
    assert lines(results(ROW), results(ROW, other)) == [
        "results.json, summaries, auroc, a, Nodule: follows from the cases and is not in results.json"
    ]
    assert lines(results(ROW, ROW), results(ROW)) == [
        "results.json, summaries, auroc, a, Mass: stands in results.json and does not follow from the cases"
    ]


def test_nothing_is_not_zero_and_one_is_not_true() -> None:
    assert lines(results(ROW), results({**ROW, "value": None})) == [
        "results.json, summaries, auroc, a, Mass: value is 0.8125; from the cases it is nothing"
    ]
    assert not compare.same(1, True, 0.0)
    assert not compare.same(0, None, 1.0)


def test_mappings_are_compared_by_path() -> None:
    told = results(metrics={"auroc": {"better": "higher", "low": 0}})
    assert lines(told, results(metrics={"auroc": {"better": "lower", "low": 0}})) == [
        'results.json, metrics, auroc, better: is "higher"; from the cases it is "lower"'
    ]


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 63))
def test_any_flipped_bit_of_a_number_is_another_number(value: float, bit: int) -> None:
    other = float((np.array([value]).view(np.uint64) ^ np.uint64(1 << bit)).view(np.float64)[0])
    assert compare.same(value, value, 0.0)
    assert compare.same(value, other, 0.0) == (value == other)  # 0.0 and -0.0 are one number


# pages


def made(cell: str = "0.81", caption: str = "AUROC") -> str:
    bars = '<svg><title>bar 0.81</title><rect width="81"/></svg>'
    return f"<h2><span>1</span>Results</h2><table><caption>{caption}</caption><tr><td>Mass</td><td>{bars}</td><td>{cell}</td></tr></table>"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (made("0.91"), "report.html, section '1 Results', tr Mass: shows '0.91'; results.json gives '0.81'"),
        (made(caption="AUPRC"), "report.html, section '1 Results', caption: shows 'AUPRC'; results.json gives 'AUROC'"),
        (
            made().replace('width="81"', 'width="91"'),
            "report.html, section '1 Results', svg bar 0.81: shows '<rect width=\"91\">'; results.json gives '<rect width=\"81\">'",
        ),
        (
            made().replace("<td>0.81", "<td>9</td><td>0.81"),
            "report.html, section '1 Results', tr Mass: shows '9 </td> <td>'; results.json gives nothing",
        ),
        (made().replace("<tr>", "<tr >"), "report.html:1: is written otherwise than the page that results.json gives"),
    ],
)
def test_a_difference_is_named_by_section_and_row(shown: str, expected: str) -> None:
    assert [difference.line() for difference in page.differences(shown, made())[0]] == [expected]


# draws


def test_draws_that_fall_on_patients_in_another_order_agree_within_the_tolerance() -> None:
    lots = np.random.default_rng(3)
    n = 240
    labels = (lots.random((n, 1)) < 0.3).astype(np.int8)
    patients = np.arange(n) // 2
    sides = [labels[:, 0] * shift + lots.normal(size=n) for shift in (1.0, 0.8)]
    metric = Metric("average_precision", "", statistic="average_precision", of="logit")
    ends = []
    for _ in range(4):
        codes = lots.permutation(n // 2)[patients]
        cohort = Cohort(("Mass",), codes, labels)
        values = [Values(np.arange(n), np.zeros(n, np.int64), side) for side in sides]
        (row,) = [row for row in contrast(metric, values[:1], values[1:], cohort, 0) if row["class_name"] == MACRO]
        assert row["low"] is not None
        assert row["high"] is not None
        ends.append((row["low"], row["high"]))
    low, high = np.array(ends).T
    width = (high - low).mean() / 2
    spread = max(np.ptp(low), np.ptp(high))
    assert 0 < spread < drawn.SHARE * width


def test_the_exit_code_is_that_of_the_gravest_level() -> None:
    good, open_, bad = Level(1, "", ""), Level(2, "", "", undecided=["x"]), Level(2, "", "", [Difference("a", "b")], ["x"])
    assert [exit_code(some).value for some in ([good], [good, open_], [open_, bad], [bad, good])] == [0, 3, 1, 1]
    assert list(bad.lines()) == [
        "level 2 different: 1 difference found",
        "  could not be decided: x",
        "  a: b",
        "  not proved: ",
    ]
