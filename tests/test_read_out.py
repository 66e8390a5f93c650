"""Groups read off the embeddings: scikit-learn as an oracle, planted sides that can and cannot be read, and a whole audit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from auditor_plugins.analyses.read_out import ReadOut
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from auditor import ConfigError
from auditor.conclusion import Number
from auditor.embedded import Embedded, Membership
from auditor.errors import AuditError, ExitCode
from auditor.evidence import read as read_evidence
from auditor.read_out import FOLDS, LEAST, PENALTIES, area_within, cross_validated, folds, ridge, told, without_finding
from auditor.run import run
from auditor.testing import check_analysis

from .conftest import TINY


def split(
    seed: int = 0,
    n: int = 400,
    strength: float = 1.0,
    films: int = 2,
    names: tuple[str, ...] = ("AP", "PA"),
    confounded: bool = False,
) -> Embedded:
    """Feature 0 holds the group, feature 1 the finding; with `confounded` the group shows in feature 1 alone, through the finding."""
    random = np.random.default_rng(seed)
    patients = np.arange(n) // films
    code = random.integers(0, len(names), patients.max() + 1)[patients]
    chance = np.where(code == 0, 0.8, 0.1) if confounded else np.full(n, 0.3)
    labels = (random.random(n) < chance).astype(np.int8)[:, None]
    vectors = random.normal(0, 1, (n, 12))
    vectors[:, 0] += 0 if confounded else strength * code
    vectors[:, 1] += 4 * labels[:, 0]
    return Embedded(vectors.astype(np.float32), labels, patients, random.permutation(n), {"view": Membership(names, code)})


def read(of: Embedded, among: np.ndarray | None = None) -> Number:
    return told("read_out_view", of, of.groups["view"], np.ones(len(of.vectors), bool) if among is None else among)


def test_ridge_is_scikit_learns_at_the_penalty_with_the_least_cross_validated_error() -> None:
    random = np.random.default_rng(1)
    x = random.normal(0, 1, (90, 20))
    x -= x.mean(0)
    y = x[:, :2] @ np.array([[1.0, 0.0], [0.3, 0.1]]) + random.normal(0, [0.5, 5.0], (90, 2))
    y -= y.mean(0)

    def risk(penalty: float, target: np.ndarray) -> float:
        hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(20), x.T)
        return float(((target - hat @ target) ** 2).sum() / (1 - (np.trace(hat) + 1) / 90) ** 2)

    found = ridge(x, y)
    chosen = [min(PENALTIES, key=lambda penalty, target=target: risk(penalty, target)) for target in y.T]
    assert chosen[0] < chosen[1], "what is mostly noise is shrunk more"
    for weights, target, penalty in zip(found.T, y.T, chosen, strict=True):
        np.testing.assert_allclose(weights, Ridge(alpha=penalty, fit_intercept=False).fit(x, target).coef_, atol=1e-10)


def test_a_patient_is_never_on_both_sides_and_the_fifths_are_even() -> None:
    one = split(films=4)
    fold = folds(one, np.arange(400))
    assert all(len(np.unique(fold[one.patients == who])) == 1 for who in np.unique(one.patients))
    assert np.bincount(fold).tolist() == [80] * FOLDS
    turn = np.random.default_rng(2).permutation(400)
    turned = Embedded(one.vectors[turn], one.labels[turn], one.patients[turn], one.lot[turn])
    assert np.array_equal(folds(turned, np.arange(400)), fold[turn])


def test_scores_are_those_of_fits_that_have_not_seen_the_patient() -> None:
    one, random = split(), np.random.default_rng(3)
    member = one.groups["view"].code[:, None] == 1
    fold = folds(one, np.arange(400))
    before = cross_validated(one.vectors.astype(float), member, fold)
    assert before is not None
    spoilt = one.vectors.astype(float)
    spoilt[fold == 2] = random.normal(0, 1, spoilt[fold == 2].shape)  # what is left out teaches nothing about itself
    flipped = np.where((fold == 2)[:, None], ~member, member)
    again = cross_validated(np.where((fold == 2)[:, None], one.vectors, spoilt).astype(float), flipped, fold)
    assert again is not None
    np.testing.assert_allclose(again[fold == 2], before[fold == 2])


def test_the_area_is_over_pairs_of_one_fold() -> None:
    random = np.random.default_rng(4)
    scores, member, fold = random.normal(0, 1, 100), random.random(100) < 0.4, np.arange(100) % FOLDS
    found = area_within(scores + 100 * fold, member, np.arange(100), fold)  # scales of the fits do not matter
    areas = [roc_auc_score(member[fold == f], scores[fold == f]) for f in range(FOLDS)]
    pairs = [member[fold == f].sum() * (~member[fold == f]).sum() for f in range(FOLDS)]
    assert found.value == pytest.approx(np.average(areas, weights=pairs))


def test_a_planted_group_is_read_as_well_as_it_can_be_and_another_not_at_all() -> None:
    best = 0.760  # two Gaussians one standard deviation apart
    found = read(split(n=1200))
    assert found.low is not None
    assert found.high is not None
    assert found.low < best < found.high
    assert (found.n, found.n_patients) == (1200, 600)
    null = [read(split(seed, strength=0.0, n=240)) for seed in range(40)]
    assert abs(np.mean([one.value for one in null]) - 0.5) < 0.015, "no group to be read"
    held = sum(one.low <= 0.5 <= one.high for one in null if one.low is not None and one.high is not None)
    assert held >= 36, "independent folds would give 34"


def test_what_goes_by_the_finding_alone_vanishes_without_it() -> None:
    values, held = [], 0
    for seed in range(20):
        one = split(seed, n=600, films=1, confounded=True)
        every, none = read(one), read(one, without_finding(one))
        assert every.value is not None
        assert every.value > 0.75
        assert none.n == int((one.labels == 0).sum())
        assert none.low is not None
        assert none.high is not None
        values.append(none.value)
        held += none.low <= 0.5 <= none.high
    assert abs(np.mean(values) - 0.5) < 0.03
    assert held >= 17


def test_unknown_labels_are_not_without_finding() -> None:
    one = split(n=6)
    assert without_finding(Embedded(one.vectors, np.array([[0], [-1], [1], [0], [0], [1]], np.int8), one.patients, one.lot)).tolist() == [
        True, False, False, True, True, False,
    ]  # fmt: skip


def test_more_than_two_groups_are_averaged_and_small_ones_left_out() -> None:
    one = split(n=900, names=("A", "B", "C"), strength=2.0)
    code = one.groups["view"].code.copy()
    code[one.patients < 5] = 3
    four = Embedded(one.vectors, one.labels, one.patients, one.lot, {"view": Membership(("A", "B", "C", "rare"), code)})
    found = read(four)
    assert found.note == f"1 of 4 groups left out: fewer than {LEAST} patients"
    assert found.n == 900 - 10
    fold = folds(four, np.flatnonzero(code < 3))
    kept = code[code < 3]
    scores = cross_validated(one.vectors[code < 3].astype(float), np.stack([kept == g for g in range(3)], 1), fold)
    assert scores is not None
    each = [area_within(scores[:, g], kept == g, one.patients[code < 3], fold).value for g in range(3)]
    assert found.value == pytest.approx(np.mean(each))


def test_what_cannot_be_read_says_why() -> None:
    one = split(n=60)
    lone = Embedded(one.vectors, one.labels, one.patients, one.lot, {"view": Membership(("AP",), np.zeros(60, np.int64))})
    assert read(lone).missing == "not estimable (1 group has 20 patients; 2 groups are needed)"
    unknown = Embedded(one.vectors, one.labels, one.patients, one.lot, {"view": Membership(("AP", "PA"), np.full(60, -1))})
    assert read(unknown).missing == "not estimable (none has 20 patients; 2 groups are needed)"
    dead = split(n=400)
    dead = Embedded(np.zeros_like(dead.vectors), dead.labels, dead.patients, dead.lot, dead.groups)
    assert read(dead).missing == "not estimable (all embeddings alike)"


def test_a_group_that_is_never_mistaken_is_not_sure_for_that() -> None:
    found = read(split(strength=60.0))
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert found.note == "no pair is told wrongly: the interval has no width and says too much"


def test_intervals_are_of_patients() -> None:
    once = split(n=300, films=1)
    twice = Embedded(*(np.repeat(getattr(once, name), 3, 0) for name in ("vectors", "labels", "patients")), np.repeat(once.lot, 3) * 3 + np.tile(np.arange(3), 300),
                     {"view": Membership(("AP", "PA"), np.repeat(once.groups["view"].code, 3))})  # fmt: skip
    one, copied = read(once), read(twice)
    assert copied.n_patients == one.n_patients
    assert one.low is not None and one.high is not None and copied.low is not None and copied.high is not None  # noqa: PT018
    assert copied.high - copied.low == pytest.approx(one.high - one.low, rel=0.15)


def test_it_keeps_the_contract_and_names_mistakes() -> None:
    check_analysis(ReadOut())
    assert [metric.name for metric in ReadOut(of=("device type", "sex")).metrics] == [
        "read_out_device_type", "read_out_device_type_no_finding", "read_out_sex", "read_out_sex_no_finding",
    ]  # fmt: skip
    for wrong in ({"of": ()}, {"of": ("sex", "sex")}):
        with pytest.raises(ConfigError, match="names no attribute, or one twice"):
            ReadOut(**wrong)
    with pytest.raises(ConfigError, match="images: found 0; allowed: at least 1"):
        ReadOut(images=0)


VIEWED = """
import dataclasses
import numpy as np
from auditor import Dataset, Sample, hookimpl

@dataclasses.dataclass(frozen=True)
class Viewed(Dataset):
    name = "viewed"

    def classes(self):
        return ("Nodule", "Effusion", "Mass")

    def index(self):
        views = ["AP" if number // 3 % 2 else "PA" for number in range(150)]
        coins = ["heads" if np.random.default_rng(number // 3).random() < 0.5 else "tails" for number in range(150)]
        return [
            Sample(f"image-{n:03d}", f"patient-{n // 3}", (n % 2, n % 5 == 0, 0), metadata={"view": view, "coin": coin})
            for n, (view, coin) in enumerate(zip(views, coins))
        ]

    def read(self, sample):
        pixels = np.random.default_rng(int(sample.id[-3:])).random((3, 32, 32)).astype(np.float32)
        if sample.metadata["view"] == "AP":
            pixels[2, :6] = 1.0
        return pixels

@hookimpl
def register_datasets():
    return [Viewed]
"""


def test_an_audit_reads_a_declared_attribute_and_refuses_another(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "viewed.py").write_text(VIEWED)
    lines = {
        "dataset": "{use: viewed}", "plugins": f"['{TINY}', viewed.py]", "attributions": "[]", "batch": "25", "subgroups": "[view, coin]",
        "report": "{formats: [html], images: false}",
    }  # fmt: skip
    with pytest.raises(
        AuditError, match=r"read_out asks for 'veiw'; allowed: an attribute of subgroups: view, coin; did you mean view\?"
    ):
        run(write_audit(**lines, analyses="[performance, {use: read_out, of: [veiw]}]"), tmp_path / "none")
    path = write_audit(**lines, analyses="[performance, {use: read_out, of: [view, coin]}]")
    result = run(path, tmp_path / "out")
    assert result.exit_code is ExitCode.COMPLETE, result.messages
    evidence = read_evidence(tmp_path / "out")
    found = {(row.metric, row.strategy): row for row in evidence.summaries if row.analysis == "read_out"}
    assert {row.class_name for row in found.values()} == {"(model)"}
    for strategy in ("bce", "focal"):
        view, coin = found["read_out_view", strategy], found["read_out_coin", strategy]
        assert view.low is not None
        assert view.low > 0.9, "the bright rim is in the features"
        assert coin.low is not None
        assert coin.high is not None
        assert coin.low < 0.6 < coin.high + 0.1
        assert (view.n, view.n_patients) == (150, 50)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What can be read off the features" in page
    before = found["read_out_view", "bce"]
    assert run(path, tmp_path / "out").exit_code is ExitCode.COMPLETE
    assert before in read_evidence(tmp_path / "out").summaries, "nothing is lost on a second run"
