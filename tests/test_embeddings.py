"""Embeddings: worked examples of the sources, slow twins with nested loops, and networks that were made to use what is then found."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.analyses import _features
from auditor_plugins.analyses.embeddings import Embeddings
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from auditor import ConfigError, ModelRefused, Network, latent
from auditor.embedded import Decision, Embedded
from auditor.last_layer import NOT_LINEAR
from auditor.run import run

Write = Callable[..., Path]
WEIGHT = np.array([[1, -0.5, 0.2, 0], [-0.4, 0.8, 0.6, 0.1], [0.3, 0.2, -0.7, 1.2]])
BIAS = np.array([0.1, 0, -0.2])
FEATURES = np.array([[2, 0.5, 1, 0], [1.5, 1, 0, 0.5], [0.2, 2, 1, 0], [0.5, 1, 2, 0.2], [0, 0.3, 0.1, 2], [1.2, 0, 0.2, 1]])
TRUE = np.array([0, 0, 1, 1, 2, 2])
SOFTMAX = Decision(("a", "b", "c"), WEIGHT, BIAS, softmax=True)


def split(vectors: Any, labels: Any, patients: Any = None) -> Embedded:
    count = len(vectors)
    own = np.arange(count) if patients is None else np.asarray(patients)
    return Embedded(np.asarray(vectors, np.float32), np.asarray(labels, np.int8), own, np.arange(count))


def one_hot(labels: Any, classes: int) -> Any:
    return (np.asarray(labels)[:, None] == np.arange(classes)).astype(np.int8)


def worked(top: int) -> tuple[Embeddings, _features.Seen]:
    options = Embeddings(top=top, of="recognised")
    return options, _features.seen(options, SOFTMAX, split(FEATURES, one_hot(TRUE, 3)))


def test_the_outputs_of_the_worked_example_are_its_evidence_and_bias() -> None:
    _, side = worked(2)
    right = [
        [2.05, 0.2, -0.2], [1.1, 0.25, 1.05], [-0.5, 2.12, -0.44], [0.5, 1.82, -1.01], [-0.03, 0.5, 2.19], [1.34, -0.26, 1.22],
    ]  # fmt: skip
    np.testing.assert_allclose(side.outputs, right, atol=1e-6)
    assert [rows.tolist() for rows in side.recognised] == [[0, 1], [2, 3], [4]]


def test_a_decision_needs_the_features_of_the_worked_example_and_the_bias_of_the_class_it_chose() -> None:
    """The published code takes the bias of the true class, which gives 4 for the misclassified last image; 1 is right."""
    options, side = worked(2)
    found = {}
    for number in range(3):
        for rows, won in (
            (side.recognised[number], True),
            (np.setdiff1d(side.positives[number], side.recognised[number]), False),
        ):
            needed = _features.decided(options, SOFTMAX, side, number, rows, won)
            found.update(zip(rows.tolist(), needed.number.tolist(), strict=True))
    assert [found[image] for image in range(6)] == [1, 1, 0, 1, 1, 1]


def test_features_are_as_frequent_as_they_were_needed() -> None:
    options, side = worked(2)
    used = [_features.decided(options, SOFTMAX, side, number, side.recognised[number], True) for number in range(3)]
    np.testing.assert_allclose([of.used.mean(0) for of in used], [[1, 0, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 1]])
    assert [float(of.number.mean()) for of in used] == [1, 0.5, 1]
    missed = _features.decided(options, SOFTMAX, side, 2, np.array([5]), False)
    every = np.concatenate((used[2].used, missed.used))
    np.testing.assert_allclose(every.mean(0), [0.5, 0, 0, 0.5])
    for of in used:
        assert of.used.mean(0).sum() == pytest.approx(of.number.mean())


def test_the_strongest_features_of_every_class_are_those_of_the_worked_example() -> None:
    options, side = worked(2)
    means = [[1.75, -0.375, 0.1, 0], [-0.14, 1.2, 0.9, 0.01], [0, 0.06, -0.07, 2.4]]
    tops = [[0, 2], [1, 2], [3, 1]]
    shares = [(1.186441, 0.945946), (0.609137, 0.568720), (1.004184, 0.975610)]
    for number in range(3):
        carried = _features.strongest(options, SOFTMAX, side, number)
        assert carried is not None
        np.testing.assert_allclose(carried.mean, means[number], atol=1e-6)
        assert carried.features.tolist() == tops[number]
        found = latent.share(carried.mean, carried.features[:1])
        assert found == pytest.approx(shares[number], abs=5e-7)


def test_the_most_active_features_and_their_density_are_those_of_the_worked_example() -> None:
    means = [FEATURES[number == TRUE].mean(0) for number in range(3)]
    assert [latent.strongest(mean, 2).tolist() for mean in means] == [[0, 1], [1, 2], [3, 0]]
    top = means[2][[3, 0]]
    np.testing.assert_allclose(top / top.sum(), [0.714286, 0.285714], atol=5e-7)
    own = latent.largest(FEATURES, 2)
    counts = [own[number == TRUE][:, [3, 0]].sum(0).tolist() for number in (0, 1)]
    assert counts == [[0, 2], [0, 0]]


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=5), st.integers(1, 7))
def test_the_largest_features_are_the_first_of_a_sorted_list(rows: list[list[int]], count: int) -> None:
    found = latent.largest(np.array(rows, np.float32), count)
    for own, row in zip(found, rows, strict=True):
        ranked = sorted(range(5), key=lambda feature: (-row[feature], feature))
        assert np.flatnonzero(own).tolist() == sorted(ranked[:count])


def test_the_evidence_that_is_left_on_new_images_is_that_of_the_worked_example() -> None:
    decision = Decision(("a",), np.ones((1, 3)), np.zeros(1))
    training = split([[3, 0.5, 1], [5, 0.5, 0.5]], [[1], [1]])
    audited = split([[2, 0.6, 0.2], [1, 0.4, 1]], [[1], [1]])
    found = _features.conclude(Embeddings(top=2), decision, audited, training)
    assert found.profiles[0]["features"] == [0, 2]
    ratios = np.divide(found.profiles[0]["magnitude_audited"], found.profiles[0]["magnitude_training"])
    np.testing.assert_allclose(ratios, [0.375, 0.8], atol=1e-6)
    assert [one[0] for one in found.profiles[0]["retained"]] == pytest.approx([0.375, 0.8])
    left = found.audited["top_evidence"].mean() / found.training["top_evidence"].mean()
    assert left == pytest.approx(0.442105, abs=5e-7)


@pytest.mark.parametrize(
    ("features", "output", "number"),
    [
        ([0.6, 0.4, 0.5, 0.1], 0.24, 2),
        ([1, 0.4, 0.5, 0.1], 0.64, 1),
        ([0.5, 1.6, 0.4, 0.2], -0.5, 1),
        ([0.1, 2, 0.2, 0.1], -1.3, 0),
    ],
)
def test_a_sigmoid_decision_needs_features_on_its_own_side(features: list[float], output: float, number: int) -> None:
    evidence = np.array([features]) * [1, -0.5, 0.8, 0.4]
    assert evidence.sum() - 0.6 == pytest.approx(output)
    count = latent.needed if output >= 0 else latent.needed_against
    assert count(evidence, -0.6, 0.0).number.tolist() == [number]


def slow_needed(evidence: list[float], bias: float, bar: float) -> int:
    """Features one by one, as the definition reads."""
    ranked, total = sorted(evidence, reverse=True), sum(e for e in evidence if e < 0) + bias
    for number in range(len(evidence) + 1):
        if total >= bar - 1e-12:
            return number
        total += ranked[number]
    raise AssertionError


QUARTERS = st.integers(-12, 12).map(lambda n: n / 4)


@given(st.lists(QUARTERS, min_size=1, max_size=8), QUARTERS, QUARTERS)
def test_the_features_needed_are_those_of_adding_one_by_one(evidence: list[float], bias: float, bar: float) -> None:
    won = sum(evidence) + bias >= bar
    count = latent.needed if won else latent.needed_against
    found = count(np.array([evidence]), bias, bar)
    twin = (
        slow_needed(evidence, bias, bar)
        if won
        else slow_needed([-e for e in evidence], -bias, math.nextafter(-bar, math.inf) + 1e-11)
    )
    assert found.number.tolist() == [twin]
    assert found.used.sum() == twin


def test_weights_change_by_the_mean_of_their_relative_changes_and_weights_of_nothing_are_left_out() -> None:
    assert latent.weight_change(np.array([2.0, 1.0, 5.0]), np.array([1.0, 2.0, 0.0])) == pytest.approx(0.75)
    assert latent.weight_change(np.ones(2), np.zeros(2)) is None


def test_the_effective_rank_is_the_number_of_directions_in_which_images_spread_alike() -> None:
    axes = np.concatenate((np.eye(4), -np.eye(4)))
    assert latent.effective_rank(axes) == pytest.approx(4)
    assert latent.effective_rank(np.outer([1.0, -1.0, 2.0], np.ones(5))) == pytest.approx(1, abs=1e-5)
    assert latent.effective_rank(np.ones((5, 3))) is None
    values = np.linalg.svd(FEATURES - FEATURES.mean(0), compute_uv=False)
    shares = values / values.sum()
    assert latent.effective_rank(FEATURES) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()))


def test_neighbours_are_those_of_nested_loops_and_never_of_the_same_patient() -> None:
    random = np.random.default_rng(0)
    points, patient = random.normal(0, 1, (40, 3)), np.arange(40) // 2
    found = latent.nearest(points, patient, points, patient, 5)
    for image in range(40):
        others = [(float(((points[image] - points[j]) ** 2).sum()), j) for j in range(40) if patient[j] != patient[image]]
        assert found[image].tolist() == [j for _, j in sorted(others)[:5]]
    assert latent.nearest(points[:1], patient[:1], points[:4], patient[:4], 5).tolist() == [
        [*found_in(points, [2, 3]), -1, -1, -1]
    ]


def found_in(points: Any, among: list[int]) -> list[int]:
    return sorted(among, key=lambda j: float(((points[0] - points[j]) ** 2).sum()))


def test_mean_distances_leave_out_the_patients_own_images() -> None:
    points, patient = np.array([[0.0], [1.0], [4.0]]), np.array([0, 0, 1])
    np.testing.assert_allclose(latent.mean_distances(points, patient, points, patient), [4, 3, 3.5])
    assert np.isnan(latent.mean_distances(points[:2], patient[:2], points[:2], patient[:2])).all()


def test_archetypes_go_by_how_many_neighbours_share_the_finding() -> None:
    kinds = latent.archetypes(np.arange(6))
    assert {kind: np.flatnonzero(which).tolist() for kind, which in kinds.items()} == {
        "safe": [4, 5], "border": [2, 3], "rare": [1], "outlier": [0],
    }  # fmt: skip


@pytest.mark.parametrize(("option", "value"), [("threshold", 0.0), ("frequent", 1.5)])
def test_options_that_are_no_share_are_refused(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"embeddings: {option}: {value} is not between 0 and 1"):
        Embeddings(**{option: value})


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (nn.Linear(6, 3), True),
        (nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), True),
        (nn.Sequential(nn.Linear(6, 3), nn.Softsign()), False),
        (nn.Sequential(nn.Unflatten(1, (6, 1, 1)), nn.Conv2d(6, 3, 1), nn.Flatten()), False),
    ],
    ids=["linear", "two layers", "bent", "convolution"],
)
def test_the_last_linear_layer_is_known_by_what_it_gives(head: nn.Module, found: bool) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    images = torch.rand(4, 1, 8, 8)
    network = Network(module, [2, 0])
    network.probe(images, ("a", "b", "c"))
    if not found:
        assert network.last_layer is None
        with pytest.raises(ModelRefused, match="does not end in one linear layer"):
            network.embeddings(images)
        return
    assert network.last_layer is not None
    vectors = network.embeddings(images).double()
    rebuilt = vectors @ network.last_layer.weight.T + network.last_layer.bias
    torch.testing.assert_close(rebuilt, network.logits(images).double(), atol=1e-4, rtol=0)
    assert network.forwards == 2
    assert not [hook for layer in module.modules() for hook in (*layer._forward_hooks, *layer._forward_pre_hooks)]


def planted(uses: int, drop: float, seed: int = 0) -> tuple[Decision, Embedded, Embedded]:
    """Two classes of which the first is told by `uses` features alike, whose activation is `drop` times as high on audited images."""
    random = np.random.default_rng(seed)
    weight = np.zeros((2, 24))
    weight[0, :uses], weight[1, 12:] = 1.0, 0.5
    sides = []
    for scale, first in ((drop, 0), (1.0, 1000)):
        labels = (random.random((300, 2)) < 0.4).astype(np.int8)
        vectors = random.uniform(0, 0.02, (300, 24))
        vectors[:, :uses] += scale * labels[:, :1] * random.uniform(0.9, 1.1, (300, 1))
        vectors[:, 12:] += labels[:, 1:] * random.uniform(0.5, 1.5, (300, 12))
        sides.append(split(vectors, labels, first + np.arange(300) // 2))
    return Decision(("First", "Second"), weight, np.array([-uses * 0.45 * 1.0, -1.0])), sides[0], sides[1]


@pytest.mark.parametrize("uses", [1, 3, 8])
def test_a_class_told_by_k_features_is_reported_with_k(uses: int) -> None:
    decision, audited, training = planted(uses, 1.0)
    found = _features.conclude(Embeddings(top=uses), decision, audited, training)
    first = found.profiles[0]
    assert sorted(first["features"]) == list(range(uses))
    assert first["ever"] == uses
    assert first["share_of_positive"] == pytest.approx(1)
    fewest = math.ceil(uses * 0.45 / 1.1)
    assert fewest <= np.nanmean(found.audited["features_needed"][:, 0]) <= uses


def test_a_planted_drop_of_the_evidence_is_found_with_its_size_and_its_class() -> None:
    decision, audited, training = planted(4, 0.6)
    found = _features.conclude(Embeddings(top=4), decision, audited, training)
    left = [np.nanmean(found.audited["top_evidence"][:, k]) / np.nanmean(found.training["top_evidence"][:, k]) for k in (0, 1)]
    assert left[0] == pytest.approx(0.6, abs=0.02)
    assert left[1] == pytest.approx(1.0, abs=0.05)
    for one in found.profiles[0]["retained"]:
        assert one[1] < 0.6 < one[2] < 1


def test_without_training_images_the_features_are_those_of_the_audited_ones() -> None:
    decision, audited, _ = planted(4, 1.0)
    found = _features.conclude(Embeddings(top=4), decision, audited, None)
    assert found.training == {}
    assert {profile["chosen_on"] for profile in found.profiles} == {"audited"}
    assert found.profiles[0]["magnitude_training"] is None


def test_a_class_that_no_image_shows_has_no_profile_and_no_evidence() -> None:
    decision, audited, training = planted(4, 1.0)
    training.labels[:, 0] = 0
    found = _features.conclude(Embeddings(top=4), decision, audited, training)
    assert [profile["class_name"] for profile in found.profiles] == ["Second"]
    assert np.isnan(found.audited["top_evidence"][:, 0]).all()
    assert not np.isnan(found.audited["recognised"][audited.labels[:, 0] == 1, 0]).any()


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def test_the_audit_adds_no_forward_pass_for_embeddings_and_concludes_once(
    write_faint_audit: Write, tmp_path: Path, counts: Counter[str]
) -> None:
    run(write_faint_audit(analyses="[performance]"), tmp_path / "bare", device="cpu")
    bare = counts["forwards"]
    counts.clear()
    path = write_faint_audit(analyses="[performance, logit_shift, embeddings]")
    run(path, tmp_path / "out", device="cpu")
    assert counts["reads of test"] == 400
    assert counts["forwards"] == bare + 2 * (200 // 50 + 1)
    first = (tmp_path / "out" / "results.json").read_bytes()
    counts.clear()
    run(path, tmp_path / "out", device="cpu")
    assert counts == Counter()
    assert (tmp_path / "out" / "results.json").read_bytes() == first


def test_the_numbers_of_an_audit_are_those_of_its_embeddings(write_faint_audit: Write, tmp_path: Path) -> None:
    """The networks are one linear layer, so an embedding is the image itself and everything can be made again by hand."""
    run(write_faint_audit(analyses="[{use: embeddings, top: 5}]"), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    profile = next(p for p in found["profiles"] if (p["strategy"], p["class"]) == ("few", "Common"))
    assert profile["n_training"] == found["accounting"]["training_images"]["positive"]["Common"]
    ratio = sum(profile["magnitude_audited"]) / sum(profile["magnitude_training"])
    (left,) = [
        r for r in found["summaries"] if (r["metric"], r["strategy"], r["class"]) == ("magnitude_retained", "few", "Common")
    ]
    assert left["value"] == pytest.approx(ratio)
    assert left["low"] < left["value"] < left["high"]
    overlaps = [o for o in found["overlaps"] if o["class"] == "Common"]
    assert [(o["model"].split()[0], o["base"].split()[0], o["chance"]) for o in overlaps] == [("few", "many", 5 / 144)]
    shared = {p["strategy"]: set(p["features"]) for p in found["profiles"] if p["class"] == "Common"}
    assert overlaps[0]["shared"] == len(shared["few"] & shared["many"]) / 5


def test_a_network_that_ends_in_something_else_is_told_once_and_the_others_stand(
    write_faint_audit: Write, tmp_path: Path
) -> None:
    path = write_faint_audit(analyses="[performance, embeddings]", more=", curved: true")
    assert run(path, tmp_path / "out", device="cpu").exit_code == 0
    found = results(tmp_path / "out")
    gaps = [gap for gap in found["gaps"] if gap["analysis"] == "embeddings"]
    assert [(gap["reason"], gap["n"]) for gap in gaps] == [(NOT_LINEAR, 0)] * 2
    assert any(f["text"].startswith("The analysis embeddings was not run for") for f in found["findings"])
    assert found["profiles"] == []


def test_a_conclusion_that_fails_loses_only_itself(
    write_faint_audit: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(Embeddings, "conclude", stumble)
    path = write_faint_audit(analyses="[performance, embeddings]")
    assert run(path, tmp_path / "out", device="cpu").exit_code == 3
    found = results(tmp_path / "out")
    assert {g["reason"] for g in found["gaps"] if g["analysis"] == "embeddings"} == {"failed: ZeroDivisionError: on purpose"}
    assert any(r["metric"] == "auroc" and r["value"] is not None for r in found["summaries"])
    monkeypatch.undo()
    assert run(path, tmp_path / "out", device="cpu").exit_code == 0
    assert results(tmp_path / "out")["profiles"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("top", 3), ("of", "recognised"), ("threshold", 0.9), ("frequent", 0.99), ("pool", 10), ("rank_images", 5)],
)
def test_every_option_changes_what_is_concluded(option: str, value: Any) -> None:
    random = np.random.default_rng(0)
    decision = Decision(("a", "b"), random.normal(0, 1, (2, 24)), np.zeros(2))
    audited, training = (
        split(random.uniform(0, 1, (200, 24)), random.random((200, 2)) < 0.4, first + np.arange(200) // 2)
        for first in (0, 1000)
    )
    plain = _features.conclude(Embeddings(), decision, audited, training)
    other = _features.conclude(Embeddings(**{option: value}), decision, audited, training)
    columns = all(np.array_equal(plain.audited[name], other.audited[name], equal_nan=True) for name in plain.audited)
    assert not (columns and plain.profiles == other.profiles)
