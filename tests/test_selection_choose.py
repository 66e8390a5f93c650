"""From embeddings to a ranked list: planted rare images are found, budgets are shared, and every fill says so."""

from __future__ import annotations

import pytest
import torch

from auditor.selection import choose as choosing
from auditor.selection.choose import Wish, choose, shares
from auditor.selection.functions import FUNCTIONS
from auditor.selection.query import Seen, Target, target
from auditor.wording import how_many

RARE, ODD = 0, 1


def planted(images: int = 2000, rare: int = 40, seed: int = 0, missed: float = 0.5) -> tuple[Seen, torch.Tensor]:
    """Features [n, 12]: two rare classes have a direction of their own each; the network knows part of them. And labels [n, 2]."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.zeros((images, 2), dtype=torch.int8)
    features = torch.rand((images, 12), generator=draw)
    logits = torch.randn((images, 2), generator=draw) - 2
    for kind in (RARE, ODD):
        rows = torch.randperm(images, generator=draw)[:rare]
        labels[rows, kind] = 1
        features[rows, kind] += 3
        logits[rows[: int(rare * (1 - missed))], kind] += 4
    return Seen(features, logits), labels


def targets(query: Seen, labels: torch.Tensor, q_min: int = 5) -> list[Target]:
    return [target(name, k, "sigmoid", query, labels[:, k], "misclassified", q_min) for k, name in enumerate(("rare", "odd"))]


def wish(function: str = "flqmi", kernel: str = "features", budget: int = 40) -> Wish:
    return Wish(function, kernel, 1.0, budget, 0)


@pytest.mark.parametrize("kernel", ["gradient", "features"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_planted_rare_images_are_found_several_times_more_often_than_by_chance(function: str, kernel: str) -> None:
    (pool, truth), (query, labels) = planted(), planted(400, 20, 1)
    found = choose(pool, query, targets(query, labels), wish(function, kernel))
    rows = torch.tensor([choice.row for choice in found.choices])
    right = sum(truth[c.row, RARE if c.target == "rare" else ODD] == 1 for c in found.choices)
    chance = 40 * 40 / 2000
    assert len(set(rows.tolist())) == 40
    assert right >= 5 * chance


def test_the_budget_is_shared_and_the_ranking_takes_turns_with_the_rarest_first() -> None:
    (pool, _), (query, labels) = planted(), planted(400, 20, 1)
    labels[labels[:, ODD].nonzero()[:5, 0], ODD] = 0
    found = choose(pool, query, targets(query, labels), wish(budget=7))
    assert [choice.target for choice in found.choices] == ["odd", "rare", "odd", "rare", "odd", "rare", "odd"]
    assert shares(7, 2) == [4, 3]
    assert sum(shares(100, 7)) == 100


def test_the_nearest_query_image_is_that_of_the_nearest_features() -> None:
    (pool, _), (query, labels) = planted(), planted(400, 20, 1)
    both = targets(query, labels)
    for choice in choose(pool, query, both, wish(budget=10)).choices:
        rows = both[RARE if choice.target == "rare" else ODD].rows
        near = torch.nn.functional.cosine_similarity(pool.features[choice.row], query.features[list(rows)])
        assert choice.nearest == rows[int(near.argmax())]
        assert choice.similarity == pytest.approx((1 + float(near.max())) / 2, abs=1e-6)


def test_too_few_images_taken_for_the_class_are_filled_up_by_features_and_told() -> None:
    (pool, _), (query, labels) = planted(), planted(400, 20, 1)
    (asked, _) = targets(query, labels)
    assert asked.threshold is not None
    pool = Seen(pool.features, pool.logits.clone())
    pool.logits[10:, RARE] = asked.threshold - 1
    pool.logits[:10, RARE] = asked.threshold + 1
    found = choose(pool, query, [asked], wish(kernel="gradient", budget=25))
    assert [choice.fill for choice in found.choices] == [None] * 10 + ["not taken for rare; by features"] * 15
    assert {choice.row for choice in found.choices[:10]} == set(range(10))
    assert found.messages == [
        (
            "rare: 10 images of the pool are taken for it, 15 fewer than its share: filled with others by the feature kernel, for a"
            " gradient that pulls the other way is no measure of likeness"
        )
    ]


def test_what_fl1mi_cannot_add_to_is_filled_by_flqmi_and_told() -> None:
    features = torch.eye(3).repeat(10, 1)
    pool = Seen(features, torch.zeros((30, 1)))
    asked = Target("rare", 0, "sigmoid", 0.0, 1, (0,))
    found = choose(pool, Seen(torch.eye(3)[:1], torch.zeros((1, 1))), [asked], wish("fl1mi", budget=8))
    fills = [choice.fill for choice in found.choices]
    filled = sum(fill == "fl1mi is saturated; by flqmi" for fill in fills)
    assert 0 < filled < 8
    assert fills == [None] * (8 - filled) + ["fl1mi is saturated; by flqmi"] * filled
    assert found.messages == [
        f"rare: fl1mi has covered what it can with {how_many(8 - filled, 'image')}; the other {filled} are by flqmi"
    ]
    assert len({choice.row for choice in found.choices}) == 8


def test_fl1mi_represents_a_sample_of_a_large_pool_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    (pool, truth), (query, labels) = planted(), planted(400, 20, 1)
    monkeypatch.setattr(choosing, "REPRESENTED", 500)
    found = choose(pool, query, targets(query, labels)[:1], wish("fl1mi", budget=20))
    assert found.messages[0] == "rare: fl1mi represents a random 500 of the 2,000 images it may choose from"
    assert sum(truth[choice.row, RARE] == 1 for choice in found.choices) >= 10


@pytest.mark.parametrize("function", ["random", "entropy", "margin", "least_confidence", "badge", "coreset"])
def test_baselines_choose_for_no_class_and_take_no_image_twice(function: str) -> None:
    (pool, _), (query, labels) = planted(), planted(400, 20, 1)
    found = choose(pool, query, targets(query, labels), wish(function, budget=50)).choices
    assert {choice.target for choice in found} == {None}
    assert len({choice.row for choice in found}) == 50
    assert {choice.gain is None for choice in found} == {function == "random"}
    assert {choice.nearest for choice in found} <= {row for asked in targets(query, labels) for row in asked.rows}


@pytest.mark.parametrize("function", [*FUNCTIONS, "random", "coreset", "badge", "entropy"])
def test_a_budget_over_the_pool_ranks_all_of_it(function: str) -> None:
    (pool, _), (query, labels) = planted(30, 5), planted(400, 20, 1)
    found = choose(pool, query, targets(query, labels), wish(function, "gradient", 100)).choices
    assert sorted(choice.row for choice in found) == list(range(30))


def test_the_same_seed_gives_the_same_choice_and_the_order_of_the_classes_does_not_matter() -> None:
    (pool, _), (query, labels) = planted(), planted(400, 20, 1)
    labels[labels[:, ODD].nonzero()[:5, 0], ODD] = 0
    both = targets(query, labels)
    assert choose(pool, query, both, wish()) == choose(pool, query, both[::-1], wish())


def test_coreset_starts_from_what_is_labelled() -> None:
    pool = Seen(torch.tensor([[0.0], [5.0], [10.0]]), torch.zeros((3, 1)))
    query, asked = Seen(torch.tensor([[0.0]]), torch.zeros((1, 1))), [Target("rare", 0, "sigmoid", 0.0, 1, (0,))]
    first = choose(pool, query, asked, wish("coreset", budget=1)).choices[0]
    other = choose(pool, query, asked, wish("coreset", budget=1), labelled=torch.tensor([[9.0]])).choices[0]
    assert (first.row, first.gain, other.row, other.gain) == (2, 10, 0, 9)
