"""What is wanted: thresholds, missed images, fallbacks, and the gradient of the last layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.selection.points import in_gradients, similarity
from auditor.selection.query import Head, Seen, Target, target, youden


def seen(logits: list[float]) -> Seen:
    return Seen(torch.zeros((len(logits), 2)), torch.tensor(logits)[:, None])


def asked(
    logits: list[float], labels: list[int], choose: str = "misclassified", q_min: int = 1, named: tuple[int, ...] = ()
) -> Target:
    return target("Hernia", 0, "sigmoid", seen(logits), torch.tensor(labels), choose, q_min, named)


def test_the_threshold_is_where_sensitivity_and_specificity_are_highest_together() -> None:
    assert youden(torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([1, 1, 0, 0])) == 2
    assert youden(torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([1, 0, 1, 0])) == 3  # 3 and 1 tie at 1/2: the higher
    assert youden(torch.tensor([3.0, 9.0, 1.0]), torch.tensor([1, -1, 0])) == 3
    assert youden(torch.tensor([3.0, 1.0]), torch.tensor([1, 1])) == 0


@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([-1, 0, 1])), min_size=2, max_size=30))
@settings(max_examples=100, deadline=None)
def test_no_other_threshold_is_better(cases: list[tuple[int, int]]) -> None:
    scores, labels = (np.array(column) for column in zip(*cases, strict=True))
    found = youden(torch.tensor(scores, dtype=torch.float64), torch.tensor(labels))
    positive, negative = scores[labels == 1], scores[labels == 0]
    if not len(positive) or not len(negative):
        assert found == 0
        return
    worth = {t: (positive >= t).mean() - (negative >= t).mean() for t in [*positive, *negative]}
    assert worth[found] == pytest.approx(max(worth.values()))
    assert found == max(t for t, value in worth.items() if value >= max(worth.values()) - 1e-12)


def test_the_query_are_the_positives_below_the_threshold() -> None:
    found = asked([3, 2.5, -1, -2, 0, -0.5, -4], [1, 1, 1, 1, 0, 0, 0])
    assert (found.threshold, found.rows, found.fallback, found.positives) == (2.5, (2, 3), None, 4)


def test_too_few_missed_images_fall_back_to_all_of_the_class_and_say_so() -> None:
    found = asked([3, 2.5, -1, -2, 0, -0.5, -4], [1, 1, 1, 1, 0, 0, 0], q_min=3)
    assert found.rows == (0, 1, 2, 3)
    assert found.fallback == "2 of 4 images are missed, fewer than q_min 3: all are the query"
    assert asked([3.0, 1.0], [1, 0]).fallback == "0 of 1 images are missed, fewer than q_min 1: all are the query"


def test_all_of_the_class_can_be_asked_for() -> None:
    found = asked([3, -1, 0], [1, 1, 0], choose="all")
    assert (found.rows, found.fallback) == ((0, 1), None)


def test_named_images_are_the_query_as_far_as_they_show_the_class() -> None:
    assert asked([3, -1, 0], [1, 1, 0], named=(2, 1)).rows == (1,)
    with pytest.raises(ValueError, match=r"found no image of query\.ids with Hernia; allowed: at least one"):
        asked([3, -1, 0], [1, 1, 0], named=(2,))


def test_an_empty_query_is_refused() -> None:
    with pytest.raises(ValueError, match="found no image with Hernia; allowed: at least one"):
        asked([3, -1], [0, -1])


def test_a_softmax_head_says_yes_to_the_likeliest_class() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 2.9]])
    found = target("b", 1, "softmax", Seen(torch.zeros((3, 2)), logits), torch.tensor([1, 1, 0]), "misclassified", 1)
    assert (found.threshold, found.rows) == (None, (0,))
    assert found.hypothesised(logits).tolist() == [False, True, False]


@pytest.mark.parametrize("head", ["sigmoid", "softmax"])
def test_the_gradient_kernel_is_that_of_what_autograd_finds(head: Head) -> None:
    """Weights and bias of the last layer, the loss of each image if it shows class 1."""
    draw = torch.Generator().manual_seed(0)
    features = torch.rand((6, 4), generator=draw, dtype=torch.float64)
    layer = torch.nn.Linear(4, 3).double()
    found = []
    for row in features:
        layer.zero_grad()
        logits = layer(row)
        if head == "softmax":
            torch.nn.functional.cross_entropy(logits, torch.tensor(1)).backward()
        else:
            torch.nn.functional.binary_cross_entropy_with_logits(logits[1], torch.ones((), dtype=torch.float64)).backward()
        assert layer.weight.grad is not None
        found.append(torch.cat([layer.weight.grad.flatten(), layer.bias.grad]))
    gradients = torch.stack(found)
    wanted = torch.nn.functional.cosine_similarity(gradients[:, None], gradients[None], -1)
    asked = Target("b", 1, head, None, 1, (0,))
    points = in_gradients(features, asked.delta(layer(features).detach()))
    np.testing.assert_allclose(similarity(points, points).numpy(), (1 + wanted.numpy()) / 2, atol=1e-12)


@pytest.mark.parametrize("head", ["sigmoid", "softmax"])
def test_a_certain_answer_still_has_a_direction(head: Head) -> None:
    delta = Target("b", 1, head, None, 1, (0,)).delta(torch.tensor([[-60.0, 60.0]]))
    assert float(delta[0].abs().max()) > 0
