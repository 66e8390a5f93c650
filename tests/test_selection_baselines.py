"""The other ways to choose, held to hand-computed scores and to slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from auditor.selection import baselines

ROWS = torch.tensor([[0.5, 0.3, 0.2], [0.45, 0.45, 0.1], [0.9, 0.06, 0.04]], dtype=torch.float64)[:, None]


def test_the_worked_scores_come_out() -> None:
    assert baselines.entropy(ROWS).tolist() == pytest.approx([1.029653, 0.948915, 0.392384], abs=1e-6)
    assert baselines.margin(ROWS).tolist() == pytest.approx([1 - 0.2, 1, 1 - 0.84])
    assert baselines.least_confidence(ROWS).tolist() == pytest.approx([0.5, 0.55, 0.1])
    first = {name: baselines.best(score(ROWS), 1)[0].row for name, score in baselines.UNSURE.items()}
    assert first == {"entropy": 0, "margin": 1, "least_confidence": 1}


def test_a_certain_answer_has_no_entropy() -> None:
    assert baselines.entropy(torch.tensor([[[1.0, 0.0]]])).item() == 0


def test_several_questions_are_averaged() -> None:
    two = torch.tensor([[[0.5, 0.5], [1.0, 0.0]]], dtype=torch.float64)
    assert baselines.entropy(two).item() == pytest.approx(math.log(2) / 2)
    assert baselines.margin(two).item() == pytest.approx(0.5)
    assert baselines.least_confidence(two).item() == pytest.approx(0.25)


def test_of_equal_scores_the_first_are_chosen() -> None:
    assert [pick.row for pick in baselines.best(torch.tensor([1.0, 2.0, 2.0, 2.0]), 2)] == [1, 2]


def test_random_takes_every_image_at_most_once_and_depends_on_the_seed() -> None:
    runs = [[p.row for p in baselines.at_random(50, 30, torch.Generator().manual_seed(seed))] for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[0])) == 30


def test_badge_draws_by_the_squared_distance_of_the_written_out_gradients() -> None:
    draw = np.random.default_rng(3)
    features, delta = torch.tensor(draw.normal(size=(40, 5))), torch.tensor(draw.normal(size=(40, 3)))
    whole = (delta[:, :, None] * features[:, None]).flatten(1).numpy()
    lots = torch.Generator().manual_seed(7)
    found = [pick.row for pick in baselines.badge(features, delta, 12, lots)]
    lots, chosen = torch.Generator().manual_seed(7), [int(np.linalg.norm(whole, axis=1).argmax())]
    for _ in range(11):
        distance = np.array([min(((row - whole[c]) ** 2).sum() for c in chosen) for row in whole])
        distance[chosen] = 0
        lot = float(torch.rand((), generator=lots, dtype=torch.float64)) * distance.sum()
        chosen.append(int(np.searchsorted(np.cumsum(distance), lot, side="right")))
    assert found == chosen


def test_badge_takes_everything_once_even_where_all_are_alike() -> None:
    same = torch.ones((6, 2))
    assert sorted(pick.row for pick in baselines.badge(same, same, 9, torch.Generator().manual_seed(0))) == list(range(6))


def test_coreset_goes_to_the_farthest_as_loops_do() -> None:
    draw = np.random.default_rng(4)
    pool, known = draw.normal(size=(30, 4)), draw.normal(size=(5, 4))
    chosen: list[int] = []
    for _ in range(8):
        centres = [*known, *pool[chosen]]
        distance = [min(np.linalg.norm(row - centre) for centre in centres) for row in pool]
        chosen.append(int(np.argmax(distance)))
    assert [pick.row for pick in baselines.coreset(torch.tensor(pool), torch.tensor(known), 8)] == chosen


def test_coreset_without_labelled_images_takes_everything_once() -> None:
    picks = baselines.coreset(torch.ones((4, 2)), torch.zeros((0, 2)), 9)
    assert sorted(pick.row for pick in picks) == [0, 1, 2, 3]
