"""What changes of the picture do to a network's answers: worked examples, scikit-learn as an oracle, a jackknife as a slow twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from auditor import Metric
from auditor.statistics import estimates
from auditor.statistics.columns import Columns
from auditor.statistics.influence import TOO_FEW, Influence, interval
from auditor.statistics.rows import MACRO, Cohort, Values
from auditor.statistics.under_change import Changed, flipped, moved, moved_signed, ranking, ranking_change

BEFORE = [-2.0, -1.0, 0.0, 1.0, 0.5, 2.0]
POSITIVE = [False, False, False, True, True, True]


def cases(after: list[list[float]], before: list[float] = BEFORE, positive: list[bool] = POSITIVE, per: int = 1) -> Changed:
    return Changed(np.array(before), np.array(after), np.array(positive), np.arange(len(before)) // per)


def number(found: Influence | str) -> Influence:
    assert isinstance(found, Influence), found
    return found


def test_a_worked_example() -> None:
    swapped = [-2.0, -1.0, 1.0, 0.0, 0.5, 2.0]  # the third case and the fourth change places
    found = number(ranking_change(cases([swapped])))
    assert found.value == pytest.approx(7 / 9 - 1)
    assert (found.cases, found.rarer) == (6, 3)
    assert number(ranking(cases([swapped]))).value == 1
    assert number(ranking_change(cases([swapped, BEFORE]))).value == pytest.approx((7 / 9 - 1) / 2), "a mean over the changes"
    # at specificity 0.5 the threshold is the second of three negatives, -1: no case changes sides; at 0.99 it is 0: two do
    assert number(flipped(cases([swapped]), 0.5)).value == 0
    assert number(flipped(cases([swapped]), 0.99)).value == pytest.approx(2 / 6)
    deviation = np.std(BEFORE)
    assert number(moved(cases([swapped]))).value == pytest.approx(2 / 6 / deviation)
    assert number(moved_signed(cases([swapped]))).value == 0


def test_pictures_that_do_not_change_change_nothing_at_all() -> None:
    same = cases([BEFORE, BEFORE])
    for found in (ranking_change(same), flipped(same, 0.9), moved(same), moved_signed(same)):
        part = number(found)
        assert part.value == 0
        assert not part.influence.any()
        assert interval(part) == (0, 0)


def test_adding_a_constant_moves_scores_and_decisions_and_no_ranking() -> None:
    up = cases([[score + 1.25 for score in BEFORE]])
    assert number(ranking_change(up)).value == 0
    assert number(moved_signed(up)).value == number(moved(up)).value == pytest.approx(1.25 / np.std(BEFORE))
    assert number(flipped(up, 0.99)).value == pytest.approx(2 / 6)  # -1 + 1.25 and 0 + 1.25 pass the threshold of 0
    down = cases([[score - 1.25 for score in BEFORE]])
    assert number(moved_signed(down)).value == -number(moved(down)).value


def test_what_cannot_be_estimated_says_why() -> None:
    lone = cases([BEFORE], positive=[True] * 6)
    assert ranking_change(lone) == "not estimable (0 negatives)"
    assert flipped(lone, 0.9) == "no threshold (0 negatives to choose it on)"
    assert ranking(cases([BEFORE], positive=[False] * 6)) == "not estimable (0 positives)"
    assert moved(cases([BEFORE], before=[1.0] * 6)) == "not estimable (all values alike)"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_values_are_scikit_learns_and_errors_a_jackknifes(seed: int) -> None:
    random = np.random.default_rng(seed)
    positive, patient = random.random(240) < 0.4, np.sort(random.integers(0, 120, 240))
    before = np.round(random.normal(positive * 1.0, 1), 1)  # ties
    after = np.stack([before + random.normal(0, 0.5, 240), np.round(before + random.normal(-0.3, 1, 240), 1)])
    given_ = Changed(before, after, positive, patient)
    found = number(ranking_change(given_))
    assert found.value == pytest.approx(
        np.mean([roc_auc_score(positive, row) for row in after]) - roc_auc_score(positive, before)
    )

    def without(who: int, of: object) -> float:
        kept = patient != who
        return number(of(Changed(before[kept], after[:, kept], positive[kept], patient[kept]))).value  # type: ignore[operator]

    people = np.unique(patient)
    for make in (ranking_change, moved, moved_signed):
        left = np.array([without(who, make) for who in people])
        error = math.sqrt((len(people) - 1) / len(people) * ((left - left.mean()) ** 2).sum())
        assert math.sqrt((number(make(given_)).influence ** 2).sum()) == pytest.approx(error, rel=0.06), make.__name__


def test_the_interval_covers_the_true_change_about_as_often_as_it_says() -> None:
    random, held = np.random.default_rng(7), 0
    truth = 0.5 * math.erf(0.75 / math.sqrt(2)) - 0.5 * math.erf(
        0.75
    )  # noise of deviation 1: d' falls from 1.5 to 1.5 / sqrt(2)
    for _ in range(300):
        positive = random.random(200) < 0.3
        before = random.normal(positive * 1.5, 1)
        made = ranking_change(Changed(before, before[None] + random.normal(0, 1, (1, 200)), positive, np.arange(200)))
        low, high = interval(number(made))
        held += low <= truth <= high
    assert 0.91 <= held / 300 <= 0.98


METRICS = {
    name: Metric(name, "-.", statistic=name, of="logit_unchanged", over=("logit_one", "logit_two"), at=0.9)  # type: ignore[arg-type]
    for name in ("ranking", "ranking_change", "flipped", "moved", "moved_signed")
}


def network(seed: int, cohort: Cohort, noise: float = 0.4) -> Columns:
    random, samples, classes = np.random.default_rng(seed), *cohort.labels.shape
    target, sample = (part.ravel() for part in np.meshgrid(np.arange(classes), np.arange(samples), indexing="ij"))
    base = random.normal(cohort.labels[sample, target], 1)
    columns = {"logit_unchanged": base, "logit_one": base + random.normal(0, noise, len(base)), "logit_two": base + noise}
    return Columns({name: Values(sample, target, value) for name, value in columns.items()})


def cohort_of(samples: int = 80) -> Cohort:
    labels = np.random.default_rng(3).integers(0, 2, (samples, 2)).astype(np.int8)
    labels[:, 1] = 0
    labels[:4, 1] = 1
    return Cohort(("Mass", "Hernia"), np.arange(samples), labels)


def test_levels_and_contrasts_of_two_networks() -> None:
    cohort = cohort_of()
    one, other = network(1, cohort), network(1, cohort, noise=1.0)
    for name, metric in METRICS.items():
        assert estimates.handles(metric)
        levels = {row["class_name"]: row for row in estimates.levels(metric, one, cohort)}
        assert levels["Mass"]["value"] is not None
        few = "fewer than 20 positive or negative patients: interval not reliable"
        assert levels["Hernia"]["note"] == (few if name.startswith("ranking") else None)
        assert levels[MACRO]["note"] is None, "the mean rests on a class with enough of both"
        again = {row["class_name"]: row for row in estimates.contrasts(metric, [one], [one], cohort)}
        assert {row["difference"] for row in again.values()} == {0}, "a network against itself"
        apart = {row["class_name"]: row for row in estimates.contrasts(metric, [other], [one], cohort)}
        theirs = {row["class_name"]: row["value"] for row in estimates.levels(metric, other, cohort)}
        assert apart["Mass"]["difference"] == pytest.approx(theirs["Mass"] - levels["Mass"]["value"])
        (mean,) = (row for row in estimates.contrasts(metric, [other], [one], cohort) if row["class_name"] == MACRO)
        said = "fewer than 20 positive or negative patients: Hernia"
        alike = "; no patient differs: no interval"  # the two differ only in what changes do to them
        assert mean["note"] == {"ranking": said + alike, "ranking_change": said}.get(name)
        assert (mean["effect"] is None) == (name == "ranking")
    worse = {row["class_name"]: row for row in estimates.contrasts(METRICS["moved"], [other], [one], cohort)}
    assert worse["Mass"]["low"] > 0


def test_one_patient_is_too_few() -> None:
    cohort = Cohort(("Mass",), np.zeros(6, np.int64), np.array([[0], [1]] * 3, np.int8))
    values = Values(np.arange(6), np.zeros(6, np.int64), np.array(BEFORE))
    columns = Columns(dict.fromkeys(("logit_unchanged", "logit_one", "logit_two"), values))
    for metric in METRICS.values():
        assert estimates.levels(metric, columns, cohort)[0]["missing"] == TOO_FEW
