"""Where a network looked: our maps against Captum's and against the formula, and no trace left."""

from __future__ import annotations

import contextlib
import dataclasses

import captum.attr
import pytest
import torch
from auditor_plugins.attributions.cam import Cam
from auditor_plugins.attributions.captum_ import METHODS, CaptumAttribution
from auditor_plugins.attributions.gradcam import GradCam
from auditor_plugins.models.t_densenet import TDenseNet
from torch import nn
from torchvision.models import resnet50

from auditor import Attribution, Cases, ConfigError, Network, PluginError

CLASSES = 5


class TwoLayerHead(nn.Module):
    """Convolutions, pooling, and a head with a hidden layer; the ReLU after the maps works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(inplace=True))
        self.maps = nn.Conv2d(8, 12, 3, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Sequential(nn.Linear(12, 7), nn.ReLU(inplace=True), nn.Linear(7, CLASSES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.maps(self.stem(images))).mean((2, 3)))


NETWORKS = {
    "resnet50 layer4": (lambda: resnet50(weights=None, num_classes=CLASSES), "layer4", True),
    "resnet50 layer3": (lambda: resnet50(weights=None, num_classes=CLASSES), "layer3", False),
    "t_densenet": (lambda: TDenseNet(CLASSES), "features.relu5", True),
    "two layer head": (TwoLayerHead, "maps", False),
}


def made(name: str, dtype: torch.dtype = torch.float64, count: int = 3) -> tuple[Network, torch.Tensor]:
    torch.manual_seed(7)
    make, layer, _ = NETWORKS[name]
    module = make()
    for part in module.modules():  # fresh batch norms would let nothing differ between images
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.0)
            nn.init.uniform_(part.running_mean, -0.1, 0.1)
    images = torch.randn(count, 3, 64, 64, dtype=dtype)
    network = Network(module.to(dtype), range(CLASSES), {"attribution": layer, "dissection": layer})
    network.probe(images[:2])
    return network, images


def every_pair(count: int) -> Cases:
    image, target = torch.meshgrid(torch.arange(count), torch.arange(CLASSES), indexing="ij")
    return Cases(image.flatten(), target.flatten())


def hooks_of(part: nn.Module) -> list[object]:
    return [*part._forward_hooks, *part._forward_pre_hooks, *part._backward_hooks, *part._backward_pre_hooks]


def captum_maps(network: Network, images: torch.Tensor, relu: bool = True) -> torch.Tensor:
    layer = network.module.get_submodule(network.layers["attribution"])
    method = captum.attr.LayerGradCam(network, layer)
    columns = [method.attribute(images, target=k, relu_attributions=relu).detach()[:, 0] for k in range(CLASSES)]
    return torch.stack(columns, 1).flatten(0, 1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_grad_cam_of_all_classes_equals_captum_on_the_same_batch(name: str, dtype: torch.dtype, tolerance: float) -> None:
    network, images = made(name, dtype)
    ours, theirs = GradCam().explain(network, images, every_pair(len(images))), captum_maps(network, images)
    assert theirs.max() > 0
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pooled_linear_head_is_recognised_and_no_other(name: str) -> None:
    network, _ = made(name)
    assert (network.pooled_head is not None) is NETWORKS[name][2]


@pytest.mark.parametrize("name", ["resnet50 layer4", "t_densenet"])
def test_cam_is_the_weights_times_the_features_to_scale(name: str) -> None:
    network, images = made(name)
    cases = every_pair(len(images))
    found = Cam().explain(network, images, cases)
    weights = list(network.module.children())[-1].weight
    features = network.features(images)
    for p, (image, target) in enumerate(zip(*cases, strict=True)):
        expected = sum(weights[target, c] * features[image, c] for c in range(features.shape[1]))
        torch.testing.assert_close(found[p], expected.detach(), rtol=1e-9, atol=1e-12)
    pooled = found.mean((1, 2)) + list(network.module.children())[-1].bias[cases.target]
    torch.testing.assert_close(pooled, network.logits(images)[cases.image, cases.target], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["resnet50 layer4", "t_densenet"])
def test_grad_cam_of_a_pooled_linear_head_is_relu_of_cam_over_positions(name: str) -> None:
    network, images = made(name)
    cases = every_pair(len(images))
    cam, gradcam = Cam().explain(network, images, cases), GradCam().explain(network, images, cases)
    torch.testing.assert_close(gradcam, cam.relu() / (cam.shape[1] * cam.shape[2]))


@pytest.mark.parametrize("name", ["resnet50 layer3", "two layer head"])
def test_cam_of_a_deeper_head_is_refused_with_the_way_out(name: str) -> None:
    network, images = made(name)
    with pytest.raises(PluginError, match=r"use attribution gradcam"):
        Cam().explain(network, images, every_pair(1))


@pytest.mark.parametrize("name", ["resnet50 layer4", "two layer head"])
def test_all_classes_cost_one_forward_pass(name: str) -> None:
    network, images = made(name)
    before = network.forwards
    network.logits(images)
    GradCam().explain(network, images, every_pair(len(images)))
    assert network.forwards == before + 1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_map_does_not_depend_on_which_other_cases_are_asked_for_or_their_order(name: str) -> None:
    network, images = made(name, torch.float32)
    cases = every_pair(len(images))
    whole = GradCam().explain(network, images, cases)
    for rows in (torch.tensor([7]), torch.tensor([13, 2, 7]), torch.randperm(len(whole))):
        part = GradCam().explain(network, images, Cases(cases.image[rows], cases.target[rows]))
        assert torch.equal(part, whole[rows])


def test_changing_one_image_leaves_the_maps_of_the_others_bit_equal() -> None:
    network, images = made("two layer head", torch.float32)
    cases = every_pair(len(images))
    before = GradCam().explain(network, images, cases)
    other = images.clone()
    other[0] += 1
    after = GradCam().explain(network, other, cases)
    assert torch.equal(after[CLASSES:], before[CLASSES:])
    assert not torch.equal(after[:CLASSES], before[:CLASSES])


def test_features_in_channels_last_give_the_same_maps() -> None:
    network, images = made("resnet50 layer3")
    plain = GradCam().explain(network, images, every_pair(3))
    network.module.to(memory_format=torch.channels_last)
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(GradCam().explain(network, last, every_pair(3)), plain, rtol=1e-9, atol=1e-12)


def test_more_classes_than_fit_one_product_are_all_there() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 40))
    images = torch.randn(2, 3, 9, 11)
    network = Network(module, range(40), {"attribution": "0"})
    network.probe(images)
    image, target = torch.meshgrid(torch.arange(2), torch.arange(40), indexing="ij")
    found = Cam().explain(network, images, Cases(image.flatten(), target.flatten())).unflatten(0, (2, 40))
    torch.testing.assert_close(found, torch.einsum("kc,nchw->nkhw", module[3].weight.detach(), network.features(images)))


def test_no_cases_give_no_maps() -> None:
    network, images = made("two layer head")
    none = Cases(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    assert len(GradCam().explain(network, images, none)) == 0
    assert len(CaptumAttribution("Saliency").explain(network, images, none)) == 0


# Captum by name


@pytest.mark.parametrize("method", METHODS)
def test_every_captum_method_gives_one_map_per_case_and_leaves_no_trace(method: str) -> None:
    network, images = made("two layer head", torch.float32)
    cases = Cases(torch.tensor([2, 0, 2]), torch.tensor([1, 4, 3]))
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    found = CaptumAttribution(method).explain(network, images, cases)
    assert found.shape == ((3, 16, 16) if method == "LayerGradCam" else (3, 64, 64))
    assert not found.requires_grad
    assert found.abs().sum() > 0
    for part in network.module.modules():
        assert not part.training
        assert not hooks_of(part)
        assert not isinstance(part, nn.ReLU) or part.inplace
    assert all(p.grad is None and not p.requires_grad for p in network.module.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.module.state_dict().items())


@pytest.mark.parametrize("method", ["Saliency", "InputXGradient", "GuidedBackprop", "IntegratedGradients"])
def test_the_wrapped_method_is_captums_own_summed_over_channels(method: str) -> None:
    network, images = made("two layer head")
    network.module.relu.inplace = network.module.stem[1].inplace = network.module.head[1].inplace = False
    module = nn.Sequential(network.module).eval()
    theirs = getattr(captum.attr, method)(module)
    options = {"abs": False} if method == "Saliency" else {}
    noise = pytest.warns(UserWarning, match="Setting backward hooks on ReLU")
    with noise if method == "GuidedBackprop" else contextlib.nullcontext():
        expected = theirs.attribute(images.clone().requires_grad_(), target=torch.tensor([1, 0, 3]), **options).detach()
    cases = Cases(torch.arange(3), torch.tensor([1, 0, 3]))
    torch.testing.assert_close(CaptumAttribution(method).explain(network, images, cases), expected.abs().sum(1))
    signed = CaptumAttribution(method, absolute=False).explain(network, images, cases)
    torch.testing.assert_close(signed, expected.sum(1))


def test_captums_grad_cam_without_relu_is_the_signed_map() -> None:
    network, images = made("two layer head")
    found = CaptumAttribution("LayerGradCam").explain(network, images, every_pair(3))
    torch.testing.assert_close(found, captum_maps(network, images, relu=False))
    assert found.min() < 0


def test_options_reach_the_method() -> None:
    network, images = made("two layer head")
    cases = Cases(torch.tensor([0]), torch.tensor([1]))
    coarse = CaptumAttribution("Occlusion", {"sliding_window_shapes": 32, "strides": 32}).explain(network, images, cases)
    assert len(coarse.unique()) == 4
    few = CaptumAttribution("IntegratedGradients", {"n_steps": 2}).explain(network, images, cases)
    assert not torch.equal(few, CaptumAttribution("IntegratedGradients").explain(network, images, cases))


def test_random_methods_repeat_and_do_not_touch_the_global_random_numbers() -> None:
    network, images = made("two layer head")
    method = CaptumAttribution("NoiseTunnel", {"nt_samples": 3})
    pair, alone = Cases(torch.tensor([0, 1]), torch.tensor([1, 2])), Cases(torch.tensor([1]), torch.tensor([2]))
    state = torch.random.get_rng_state()
    first = method.explain(network, images, pair)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(first[1:], method.explain(network, images, alone))
    assert not torch.equal(first, dataclasses.replace(method, seed=1).explain(network, images, pair))


def test_an_unknown_method_or_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no method 'Salency'.*did you mean Saliency\?"):
        CaptumAttribution("Salency")
    network, images = made("two layer head")
    with pytest.raises(ConfigError, match=r"IntegratedGradients: no option 'nsteps'.*did you mean n_steps\?"):
        CaptumAttribution("IntegratedGradients", {"nsteps": 3}).explain(network, images, every_pair(1))


def test_a_network_that_captum_refuses_is_left_as_it_was() -> None:
    network, images = made("resnet50 layer4", torch.float32, 2)
    with pytest.raises(PluginError, match="captum DeepLift cannot explain this network"):
        CaptumAttribution("DeepLift").explain(network, images, Cases(torch.tensor([0]), torch.tensor([1])))
    for part in network.module.modules():
        assert not hooks_of(part)
        assert not isinstance(part, nn.ReLU) or part.inplace


def test_a_trace_that_is_left_is_removed_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = made("two layer head")

    def careless(self: object, inputs: torch.Tensor, target: torch.Tensor, abs: bool = True) -> torch.Tensor:
        network.module.maps.register_forward_hook(lambda *_: None)
        network.module.head.train()
        network.module.maps.weight.requires_grad_()
        return inputs

    monkeypatch.setattr(captum.attr.Saliency, "attribute", careless)
    with pytest.raises(PluginError, match=r"forward hook on maps, training mode of head.*requires_grad of maps\.weight"):
        CaptumAttribution("Saliency").explain(network, images, every_pair(1))
    assert not network.module.maps._forward_hooks
    assert not network.module.head.training
    assert not network.module.maps.weight.requires_grad


@pytest.mark.parametrize("attribution", [Cam(), GradCam(), CaptumAttribution("Saliency", {})])
def test_an_attribution_can_be_a_key(attribution: Attribution) -> None:
    assert {attribution: 1}[dataclasses.replace(attribution)] == 1  # type: ignore[type-var]
