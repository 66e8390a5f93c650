"""The learning rate of every step, held to PyTorch's own schedulers, and the optimisers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, SequentialLR

from auditor.training.recipe import Recipe


@pytest.mark.filterwarnings("ignore:.*epoch parameter:UserWarning")
@pytest.mark.parametrize("end", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("warmup", [0, 1, 7, 20])
@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_rate_follows_pytorchs_schedulers(schedule: Any, warmup: int, end: float) -> None:
    recipe, steps = Recipe(rate=0.3, schedule=schedule, end=end, warmup=warmup, warmup_from=0.01), 20
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    rest = max(steps - warmup, 1)
    main: Any = CosineAnnealingLR(optimiser, rest, 0.3 * end) if schedule == "cosine" else ConstantLR(optimiser, 1.0, rest)
    if warmup:
        rise = LinearLR(optimiser, 0.01, 1.0, warmup)
        main = SequentialLR(optimiser, [rise, main], [warmup])
    for step in range(steps):
        assert recipe.rate_at(step, steps) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9, abs=1e-12), step
        optimiser.step()
        main.step()


def test_rates_worked_by_hand() -> None:
    recipe = Recipe(rate=4e-4, end=0.0)
    assert [recipe.rate_at(step, 4) for step in range(5)] == pytest.approx([4e-4, 3.414214e-4, 2e-4, 5.85786e-5, 0.0], abs=1e-9)
    public = Recipe(rate=4e-4, end=0.01, warmup=1000, warmup_from=0.01)
    assert public.rate_at(0, 3000) == pytest.approx(4e-6)
    assert public.rate_at(500, 3000) == pytest.approx(2.02e-4)
    assert public.rate_at(1000, 3000) == pytest.approx(4e-4)
    assert public.rate_at(3000, 3000) == pytest.approx(4e-6)


@settings(deadline=None)
@given(
    st.integers(1, 500),
    st.integers(0, 600),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(["cosine", "constant"]),
    st.data(),
)
def test_the_rate_stays_between_nothing_and_the_rate(
    steps: int, warmup: int, begin: float, end: float, schedule: Any, data: st.DataObject
) -> None:
    recipe = Recipe(rate=0.1, warmup=warmup, warmup_from=begin, end=end, schedule=schedule)
    step = data.draw(st.integers(0, steps - 1))
    assert 0 <= recipe.rate_at(step, steps) <= 0.1 * (1 + 1e-12)


def test_every_step_has_the_rate_of_its_place_in_the_whole_training(
    write_training: Callable[..., Path], trainings: Callable[[Path], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_training(recipe="{use: small, epochs: 3, batch: 8, warmup: 4, end: 0.1}")
    (training,) = trainings(path)
    used: list[float] = []
    step = training.optimiser.step
    monkeypatch.setattr(
        training.optimiser, "step", lambda *a: (used.append(training.optimiser.param_groups[0]["lr"]), step(*a))
    )
    training.epoch(1, lambda _: None)
    training.epoch(3, lambda _: None)
    recipe = training.setting.recipe
    assert used == [recipe.rate_at(number, 9) for number in (0, 1, 2, 6, 7, 8)]


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_the_optimiser_is_pytorchs_with_the_options_of_the_recipe(name: Any, kind: type) -> None:
    weights = [torch.nn.Parameter(torch.zeros(2))]
    made = Recipe(optimiser=name, rate=0.2, decay=0.05, momentum=0.7).make_optimiser(weights)
    assert type(made) is kind
    group = made.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.2, 0.05)
    assert name != "sgd" or group["momentum"] == 0.7


def test_what_a_criterion_learns_does_not_decay() -> None:
    network, learned = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    made = Recipe(optimiser="sgd", rate=0.1, decay=0.5, momentum=0.0).make_optimiser([network], [learned])
    network.grad, learned.grad = torch.zeros(2), torch.zeros(2)
    made.step()
    assert network.tolist() == pytest.approx([0.95, 0.95])
    assert learned.tolist() == [1.0, 1.0]
