"""A contrast that looks clear by itself and is not once it is allowed for how many were looked at: how it is marked and told."""

from __future__ import annotations

MARK = "†"
NOTE = (
    "The 95 % interval of this contrast alone leaves out 0. One in twenty would by chance; after allowing for how many contrasts of its "
    "family were looked at, these data cannot tell."
)


def only_alone(low: float | None, high: float | None, verdict: str | None) -> bool:
    """Whether an interval of one contrast leaves out 0 although the verdict, which allows for all of them, is inconclusive.

    >>> only_alone(0.01, 0.03, "inconclusive"), only_alone(-0.01, 0.03, "inconclusive"), only_alone(0.01, 0.03, "different")
    (True, False, False)
    """
    return verdict == "inconclusive" and low is not None and high is not None and not low <= 0 <= high
