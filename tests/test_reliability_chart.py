"""The chart of predicted against observed frequency: nothing clumps at an edge, and the line is where predictions come true."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from auditor.reliability_chart import LEFT, SIDE, TOP, Reliability, reliability_chart

SHARES = st.floats(0, 1)


def places(*bins: tuple[float, float]) -> list[tuple[float, float]]:
    """Where the marks of one network stand, from its (predicted, observed) bins."""
    curve = Reliability("bce, seed 0", "bce", [p for p, _ in bins], [o for _, o in bins])
    drawing = str(reliability_chart([("As trained", [curve])], ["bce"], title="t"))
    return [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawing)]


@given(SHARES)
def test_a_prediction_that_comes_true_lies_on_the_rising_line(share: float) -> None:
    ((x, y),) = places((share, share))
    assert abs((x - LEFT) - (TOP + SIDE - y)) < 0.2


@given(SHARES, SHARES)
def test_what_is_more_frequent_lies_further_and_all_of_it_inside(one: float, other: float) -> None:
    (x, _), (right, _) = places((min(one, other), 0.5), (max(one, other), 0.5))
    assert LEFT - 0.1 <= x <= right <= LEFT + SIDE + 0.1


def test_bins_of_rare_findings_do_not_share_a_place() -> None:
    """Half a per cent and two per cent, never observed: on a logarithmic axis all that is not observed stands at the edge, as 0.1 % does."""
    (left, floor), (right, same), (_, above) = places((0.005, 0.0), (0.02, 0.0), (0.02, 0.001))
    assert right - left > 10
    assert floor == same == TOP + SIDE
    assert floor - above > 5, "one in a thousand is not the same as none"
