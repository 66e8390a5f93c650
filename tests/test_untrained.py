"""A network that forgets its training keeps its shape and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from auditor.untrained import forget_training

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")  # the old kind is still met in the field


class Bare(nn.Module):
    """A parameter and a single number that belong to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.full((4000,), 3.0) + torch.randn(4000) * 0.5)
        self.scale = nn.Parameter(torch.tensor(7.0))
        self.register_buffer("position", torch.arange(5.0))


def trained() -> nn.Module:
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3), nn.LayerNorm(3),
        parametrizations.weight_norm(nn.Linear(3, 3)), nn.utils.weight_norm(nn.Linear(3, 3)), Bare(),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape))
        module[1].running_mean.fill_(5.0)
        module[1].running_var.fill_(9.0)
        module[1].num_batches_tracked.fill_(100)
    return module


def test_every_weight_is_drawn_again_whatever_layer_it_belongs_to() -> None:
    before = trained()
    after = dict(forget_training(trained(), 0).named_parameters())
    stayed = [name for name, weight in before.named_parameters() if torch.equal(weight, after[name])]
    assert stayed == ["7.scale"], "a single number has no spread to be drawn from"


def test_running_statistics_are_reset_and_other_buffers_stay() -> None:
    module = forget_training(trained(), 0)
    assert module[1].running_mean.tolist() == [0.0] * 4
    assert module[1].running_var.tolist() == [1.0] * 4
    assert module[1].num_batches_tracked == 0
    assert module[7].position.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_what_no_layer_draws_has_the_mean_and_spread_that_it_had() -> None:
    before = trained()
    spread, mean = before[7].tokens.detach().std(), before[7].tokens.detach().mean()
    tokens = forget_training(trained(), 1)[7].tokens.detach()
    assert float(tokens.mean()) == pytest.approx(float(mean), abs=0.1)
    assert float(tokens.std()) == pytest.approx(float(spread), rel=0.05)


def test_the_seed_alone_decides_and_the_programs_own_random_numbers_go_on() -> None:
    torch.manual_seed(11)
    untouched = torch.rand(3)
    torch.manual_seed(11)
    one = forget_training(nn.Linear(4, 4), 5).weight
    first = forget_training(trained(), 5)
    torch.manual_seed(11)
    forget_training(nn.Identity(), 5)
    assert torch.equal(torch.rand(3), untouched)
    again, other = forget_training(nn.Linear(4, 4), 5).weight, forget_training(nn.Linear(4, 4), 6).weight
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(first[0].weight, forget_training(trained(), 5)[0].weight)


def test_a_layer_without_learned_numbers_of_its_own_is_left_alone() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3, affine=False, track_running_stats=False), nn.ReLU())
    assert forget_training(module, 0) is module
