"""Metadata of samples, counted: categories by value, numbers by median, names never one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditor import Sample
from auditor.described import SEVERAL, described


def samples(*values: str | None) -> list[Sample]:
    return [
        Sample(str(number), "p", (1,), metadata={} if value is None else {"key": value}) for number, value in enumerate(values)
    ]


def test_few_values_are_counted_and_empty_ones_are_unknown() -> None:
    assert described(samples("F", "M", "F", "", None)) == {"key": {"known": 3, "counts": {"F": 2, "M": 1}}}
    assert described(samples(None)) == {}


def test_many_numbers_have_a_median_and_ends() -> None:
    assert described(samples(*map(str, range(1, 15)))) == {"key": {"known": 14, "median": 7.5, "low": 1.0, "high": 14.0}}
    assert described(samples(*map(str, range(1, 16))))["key"]["median"] == 8.0


def test_many_words_may_be_names_and_are_only_numbered() -> None:
    names = [f"site {number}" for number in range(SEVERAL + 1)]
    assert described(samples(*names)) == {"key": {"known": 13, "different": 13}}
    assert "site 0" not in str(described(samples(*names, "7")))


@given(st.lists(st.sampled_from(["F", "M", "", " "]), min_size=1))
def test_counts_add_up_to_what_is_known(values: list[str]) -> None:
    found = described(samples(*values))["key"]
    assert sum(found["counts"].values()) == found["known"] == sum(bool(value.strip()) for value in values)
