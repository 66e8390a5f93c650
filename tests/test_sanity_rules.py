"""The rulings of the sanity checks, with intervals worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.sanity_rules import batch_independence, constant_input, model_randomisation, repeat, wrong_class
from auditor.statistics.influence import Influence, interval

PATIENTS = 100
T = 1.984  # of 99 degrees of freedom


def number(value: float, half: float, patients: int = PATIENTS, turn: int = 0) -> Influence:
    """A number whose 95 % interval is value -+ half; all patients move it alike, every second one down.

    Numbers of another `turn` (of 1, 2 ...) are moved by the patients in another rhythm, so that they are not correlated.
    """
    step = half / (T * np.sqrt(patients))
    signs = np.where((np.arange(patients) >> turn) % 2 == 0, step, -step)
    return Influence(value, np.arange(patients), signs, 2 * patients)


def test_the_helper_gives_the_interval_that_it_says() -> None:
    assert interval(number(0.4, 0.1)) == pytest.approx((0.3, 0.5), abs=1e-4)


@pytest.mark.parametrize(
    ("trained", "untrained", "alike", "outcome"),
    [
        (number(0.6, 0.1), number(0.0, 0.1, turn=1), 0.1, "passed"),  # 0.2 -+ .033 less 0 -+ .1: .2 -+ .105
        (number(0.6, 0.1), number(0.02, 0.01, turn=1), 0.1, "passed"),  # not 0, and a thirtieth of it
        (number(0.6, 0.1), number(-0.3, 0.1, turn=1), 0.1, "passed"),  # where the box is not
        (number(0.6, 0.1), number(0.4, 0.1, turn=1), 0.1, "failed"),
        (number(0.6, 0.1), number(0.21, 0.1, turn=1), 0.1, "failed"),  # a third or more, and not chance
        (number(0.6, 0.1), number(0.1, 0.2, turn=1), 0.1, "inconclusive"),  # 0 lies in it, and so does .29
        (number(0.6, 0.1), number(0.3, 0.4, turn=1), 0.1, "inconclusive"),
        (number(0.04, 0.06), number(0.0, 0.01, turn=1), 0.1, "inconclusive"),  # nothing to lack
        (number(0.07, 0.03), number(0.0, 0.001, turn=1), 0.1, "inconclusive"),  # no more than negligible
        (number(0.6, 0.1), number(0.0, 0.1, turn=1), 0.9995, "failed"),  # the same maps
        (number(0.0, 0.1), number(0.0, 0.1, turn=1), 1.0, "failed"),  # the same maps, whatever they show
        (number(0.6, 0.1, 19), number(0.0, 0.1, 19), 0.1, "not estimable"),
        ("no case", number(0.0, 0.1), None, "not estimable"),
    ],
)
def test_an_untrained_network_must_be_shown_to_be_localised_less_than_a_third_as_well(
    trained: Influence | str, untrained: Influence | str, alike: float | None, outcome: str
) -> None:
    assert model_randomisation(trained, untrained, alike, 0.05).outcome == outcome


@pytest.mark.parametrize(
    ("trained", "other", "outcome"),
    [
        (number(0.5, 0.1), number(0.1, 0.1, turn=1), "passed"),  # the fall is .4 -+ .14
        (number(0.5, 0.1), number(0.45, 0.1), "passed"),  # what patients do to both cancels out: .05 -+ 0
        (number(0.5, 0.1), number(0.45, 0.1, turn=1), "failed"),  # .05 -+ .14: 0 lies in it, a fall to nothing does not
        (number(0.5, 0.1), number(0.5, 0.1), "failed"),  # the same maps
        (number(0.5, 0.1), number(0.6, 0.05, turn=1), "failed"),
        (number(0.5, 0.4), number(0.2, 0.5, turn=1), "inconclusive"),  # .3 -+ .64 holds both
        (number(0.5, 0.5), number(0.5, 0.5), "inconclusive"),  # nothing to lack
    ],
)
def test_the_map_of_an_absent_finding_must_be_shown_to_lie_less_well(
    trained: Influence, other: Influence, outcome: str
) -> None:
    assert wrong_class(trained, other, 0.05).outcome == outcome


def test_numbers_and_sentence_say_what_was_compared() -> None:
    found = model_randomisation(number(0.6, 0.1), number(0.02, 0.01, turn=1), -0.0116, 0.05)
    assert found.n == 200
    assert found.numbers == pytest.approx(
        {"trained": 0.6, "trained_low": 0.5, "trained_high": 0.7, "untrained": 0.02, "untrained_low": 0.01,
         "untrained_high": 0.03, "rank_correlation": -0.0116}, abs=1e-4,
    )  # fmt: skip
    assert (
        found.says
        == "Without training less than a third is left: 0.020 (0.010 to 0.030) untrained, 0.600 (0.500 to 0.700) trained."
    )


def test_one_batch_is_ruled_by_whether_its_maps_stay_the_same() -> None:
    assert batch_independence(0.0, 16, 16).outcome == "passed"
    assert batch_independence(1e-6, 16, 16).outcome == "passed"
    assert batch_independence(0.081, 16, 16).says == "exchanging one image changes the maps of others by up to 8.1 %."
    assert batch_independence(None, 1, 1).outcome == "not applicable"
    assert batch_independence(None, 16, 1).outcome == "not estimable"
    assert repeat(0.0, 16).outcome == "passed"
    assert repeat(0.2, 16).outcome == "failed"
    assert constant_input(1.0, 0.8, 16).says == "80 % of the maps differ from those of an even grey image."
    assert constant_input(0.9, 1.0, 16).outcome == "failed"
    assert constant_input(1.0, 0.0, 16).outcome == "failed"
    assert constant_input(1.0, None, 16).outcome == "not estimable"
