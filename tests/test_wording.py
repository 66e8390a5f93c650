"""How numbers are written: one zero, one minus, no exponent, nothing that only rounding left."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.wording import NOISE, figure, p_said, p_value, rounded, signed

NUMBERS = st.floats(-1e9, 1e9)


@pytest.mark.parametrize("show", [figure, signed, rounded])
@given(value=NUMBERS)
def test_a_number_has_no_exponent_no_signed_zero_and_no_tail_of_zeros(show: object, value: float) -> None:
    text = show(value)  # type: ignore[operator]
    assert re.fullmatch(r"[+−]?\d[\d,]*(\.\d+)?", text), text
    assert len(text.partition(".")[2]) <= 8
    if not text.strip("+−0.,"):
        assert text in ("0", "0.000")
    assert text.startswith("−") == (value < 0 and bool(text.strip("+−0.,")))


@pytest.mark.parametrize("show", [figure, signed, rounded])
@given(value=st.floats(-NOISE, NOISE, exclude_min=True, exclude_max=True))
def test_what_rounding_left_of_a_number_is_written_as_nothing_at_all(show: object, value: float) -> None:
    assert show(value) == show(0.0)  # type: ignore[operator]


@given(NUMBERS)
def test_no_digit_that_is_shown_is_wrong(value: float) -> None:
    """The oracle is Python's own reading of the text: within one unit of the third figure."""
    for text in (figure(value), rounded(value)):
        read = float(text.replace("−", "-").replace(",", ""))
        assert abs(read - value) <= max(0.00501 * abs(value), 0.0006)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (-0.5, "−0.5"), (1234.5, "1,230"), (999.96, "1,000"), (0, "0"), (2.5e-9, "0"), (0.9999, "1"),
     (9.9999e-5, "0.0001"), (12345678.0, "12,300,000"), (562.0, "562"), (3, "3")],
)  # fmt: skip
def test_a_number_in_a_sentence_has_three_figures(value: float, text: str) -> None:
    assert rounded(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-1e-8, "0.000"), (0.0, "0.000"), (-0.0, "0.000"), (2e-6, "+0.000002"), (-0.0004999, "−0.0005"), (0.9996, "+1.000")],
)
def test_a_difference_that_is_none_has_no_sign(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("p", "table", "sentence"),
    [(0.0123, "0.012", "p = 0.012"), (0.00061, "<\u00a00.001", "p <\u00a00.001"), (0.001, "0.001", "p = 0.001"), (1, "1.000", "p = 1.000")],
)  # fmt: skip
def test_a_p_value_is_never_nothing(p: float, table: str, sentence: str) -> None:
    assert (p_value(p), p_said(p)) == (table, sentence)
