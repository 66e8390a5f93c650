"""The contract checks can fail: each plugin of this zoo is wrong in one way, and is caught for that reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
import torch

from auditor import (
    Analysis,
    Attribution,
    Box,
    Dataset,
    Layers,
    Metric,
    ModelLoader,
    Preprocessing,
    Sample,
    Section,
    Tally,
    testing,
)
from auditor.registry import Registry
from auditor.testing import ContractBroken

GRADCAM = Registry().get("attributions", "gradcam")()


class GoodMap(Attribution):
    """The input's own brightness in the class's channel: right on the planted network."""

    name = "good"

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        return images[cases.image, cases.target]


class LeavesAHook(GoodMap):
    """Forgets a forward hook."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        network.module.register_forward_hook(lambda *_: None)
        return super().explain(network, images, cases)


class LeavesGradients(GoodMap):
    """Backpropagates into the weights."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        for parameter in network.module.parameters():
            parameter.requires_grad_(True)
        network(images).sum().backward()
        return super().explain(network, images, cases)


class LeavesTrainingMode(GoodMap):
    """Switches the network to training."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        network.module.train()
        return super().explain(network, images, cases)


class NormalisesByTheBatch(GoodMap):
    """Divides by the brightest map of the batch."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        return super().explain(network, images, cases) / images.sum()


class SumsTheBatch(GoodMap):
    """One map for the whole batch (peers' defect D6)."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        maps = super().explain(network, images, cases)
        return torch.cat([maps[:1], torch.zeros_like(maps[1:])])


class Inverted(GoodMap):
    """The peak becomes zero (peers' defect D5)."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        return 1 - super().explain(network, images, cases)


class AxesSwapped(GoodMap):
    """Rows and columns change places (peers' defect 13)."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        return super().explain(network, images, cases).transpose(1, 2)


class IgnoresTheClass(GoodMap):
    """The same map for every class."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        return images[cases.image].sum(1)


class CarriesAGraph(GoodMap):
    """Hands out maps that still require a gradient."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        return super().explain(network, images.clone().requires_grad_(), cases)


class WrongShape(GoodMap):
    """Keeps a channel axis."""

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        return super().explain(network, images, cases)[:, None]


class Undocumented(GoodMap):
    name = "undocumented"


def test_a_right_attribution_passes() -> None:
    testing.check_attribution(GoodMap())


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (LeavesAHook, "left hooks"),
        (LeavesGradients, "left gradients"),
        (LeavesTrainingMode, "left another training mode"),
        (NormalisesByTheBatch, "other images of the batch"),
        (SumsTheBatch, "order of the cases"),
        (Inverted, "polarity"),
        (AxesSwapped, "polarity or axes"),
        (IgnoresTheClass, "two classes of one image"),
        (CarriesAGraph, "carry a graph"),
        (WrongShape, "not maps"),
        (Undocumented, "docstring"),
    ],
)
def test_a_wrong_attribution_is_caught(plugin: type[Attribution], words: str) -> None:
    with pytest.raises(ContractBroken, match=words):
        testing.check_attribution(plugin())


class Area(Analysis):
    """How much of the grid the boxes cover: right."""

    name = "area"
    needs = frozenset({"box"})
    metrics = (Metric("area", "Share of the image that the boxes cover.", "neither", 0, 1),)

    def measure(self, batch: Any) -> dict[str, Any]:
        return {"area": batch.masks().mean((1, 2))}


class Percentage(Area):
    """Promises a share and returns a percentage."""

    def measure(self, batch: Any) -> dict[str, Any]:
        return {"area": batch.masks().mean((1, 2)) * 100}


class Peeks(Area):
    """Reads logits it never asked for."""

    def measure(self, batch: Any) -> dict[str, Any]:
        return {"area": batch.logits.sigmoid().numpy()}


class RanksTheBatch(Area):
    """Compares a case with its companions (peers' defect D7)."""

    def measure(self, batch: Any) -> dict[str, Any]:
        area = batch.masks().mean((1, 2))
        return {"area": area / area.max()}


class Forgets(Area):
    """Declares what it does not measure."""

    def measure(self, batch: Any) -> dict[str, Any]:
        return {}


class Surprises(Area):
    """Measures what it does not declare."""

    def measure(self, batch: Any) -> dict[str, Any]:
        return {"area": batch.masks().mean((1, 2)), "perimeter": np.zeros(len(batch))}


class Mean(Tally):
    """A mean that merges by averaging the means, whatever their counts: wrong."""

    def __init__(self) -> None:
        self.value, self.count = 0.0, 0

    def add(self, values: Any) -> None:
        self.value = (self.value * self.count + float(values.sum())) / (self.count + len(values))
        self.count += len(values)

    def merge(self, other: Mean) -> None:
        self.value, self.count = (self.value + other.value) / 2, self.count + other.count


class MergesWrongly(Area):
    """Keeps a tally that breaks the one law."""

    metrics = (*Area.metrics, Metric("mean_area", "Mean area.", statistic="none"))

    def tallies(self) -> dict[str, Tally]:
        return {"mean": Mean()}

    def observe(self, tallies: Any, batch: Any) -> None:
        tallies["mean"].add(batch.masks().mean((1, 2)))

    def summarise(self, tallies: Any) -> dict[str, float]:
        return {"mean_area": tallies["mean"].value}


class CostsUntold(Area):
    """Says what a trial costs, and of no image that it tries anything."""

    per_trial = 2


class Darkens(Area):
    """Shows what it tries, as it should."""

    needs = frozenset({*Area.needs, "image"})
    per_trial = 1

    def trials(self, samples: Any) -> dict[str, tuple[str, ...]]:
        return {sample.id: ("darker",) for sample in samples}

    def changed(self, batch: Any) -> Any:
        return {(row, "darker"): (picture / 2,) for row, picture in enumerate(batch.pictures)}


class ShowsTwo(Darkens):
    """Shows two pictures of a trial that costs one."""

    def changed(self, batch: Any) -> Any:
        return {(0, "darker"): (batch.pictures[0], batch.pictures[0])}


class ShowsOther(Darkens):
    """Shows what it does not try."""

    def changed(self, batch: Any) -> Any:
        return {(0, "brighter"): (batch.pictures[0],)}


class ShowsNoPicture(Darkens):
    """Shows more than white."""

    def changed(self, batch: Any) -> Any:
        return {(0, "darker"): (batch.pictures[0] + 1,)}


class ChoosesStrangers(Area):
    """Wants an image that it was not handed."""

    def trials(self, samples: Any) -> dict[str, tuple[str, ...]]:
        return {samples[0].id: (), "nobody": ()}


def test_a_right_analysis_passes() -> None:
    testing.check_analysis(Area())
    testing.check_analysis(Darkens())


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (Percentage, "above its bound"),
        (Peeks, "did not say it needs: 'logits'"),
        (RanksTheBatch, "depends on the batch"),
        (Forgets, "did not measure"),
        (Surprises, "does not declare"),
        (MergesWrongly, "merged from parts"),
        (CostsUntold, r"trials\(\) says of no image"),
        (ShowsTwo, "for image 0 and 'darker' 2 pictures; per_trial is 1"),
        (ShowsOther, "for image 0 and 'brighter' what trials.. did not name: darker"),
        (ShowsNoPicture, r"from 1.* to 2, not \[3, 32, 48\] in 0..1"),
        (ChoosesStrangers, "images that it was not handed: nobody"),
    ],
)
def test_a_wrong_analysis_is_caught(plugin: type[Analysis], words: str) -> None:
    with pytest.raises(testing.PluginError, match=words):
        testing.check_analysis(plugin())


@dataclass(frozen=True)
class Squares(Dataset):
    """Four grey squares: right."""

    name = "squares"
    fault: str = ""

    def classes(self) -> tuple[str, ...]:
        return ("Nodule",)

    def index(self) -> list[Sample]:
        ids = ["a", "b", "c", "c" if self.fault == "twice" else "d"]
        label = {"label": 2, "unlabelled": 0}.get(self.fault, 1)
        edge = 200.0 if self.fault == "pixels" else 0.8
        name = "nodule" if self.fault == "class" else "Nodule"
        return [Sample(i, f"patient {i}", (label,), (Box(name, 0.1, 0.2, edge, 0.9),)) for i in ids]

    def read(self, sample: Sample) -> Any:
        if self.fault == "random":
            return np.random.default_rng().random((1, 8, 8), np.float32)
        if self.fault == "flat":
            return np.zeros((8, 8), np.float32)
        return np.full((1, 8, 8), 300 if self.fault == "range" else 0.5, np.float32)

    def mask(self, sample: Sample) -> Any:
        if self.fault == "another mask":
            return (np.random.default_rng().random((1, 8, 8)) < 0.5).astype(np.uint8)
        mask = np.zeros(
            (1, 8, 4) if self.fault == "other grid" else (1, 8, 8), float if self.fault == "float mask" else np.uint8
        )
        mask[0, 2:5, 1:3] = {"grey mask": 128, "empty mask": 0}.get(self.fault, 1)
        return mask


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("twice", "an id twice"),
        ("label", "not 1, 0 or None"),
        ("pixels", "not fractions"),
        ("class", "not a class"),
        ("random", "differs from call to call"),
        ("flat", "shape"),
        ("range", "within 0..1"),
        ("another mask", r"mask\(\) differs from call to call"),
        ("other grid", r"mask\(\) gave \[1, 8, 4\]; allowed: uint8 \[1, 8, 8\], the grid of its image"),
        ("float mask", r"mask\(\) gave \[1, 8, 8\]; allowed: uint8"),
        ("grey mask", r"mask\(\) has other values than 0, 1 and 255"),
        ("empty mask", r"mask\(\) shows no Nodule, and its label is 1"),
        ("unlabelled", r"mask\(\) shows Nodule, and its label is 0"),
    ],
)
def test_a_wrong_data_set_is_caught(fault: str, words: str) -> None:
    testing.check_dataset(Squares())
    with pytest.raises(ContractBroken, match=words):
        testing.check_dataset(Squares(fault))


@dataclass(frozen=True, kw_only=True)
class Small(ModelLoader):
    """A small network: right."""

    name = "small"
    classes: tuple[str, ...] = ("Nodule", "Mass")
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(size=16))
    fault: str = ""

    def default_layers(self) -> Layers:
        return Layers("5" if self.fault == "layer" else "1")

    def digest(self) -> str:
        return str(torch.rand(())) if self.fault == "digest" else "small"

    def load(self) -> Any:
        from torch import nn

        if self.fault != "random":
            torch.manual_seed(0)
        outputs = 3 if self.fault == "outputs" else 2
        parts = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs)]
        if self.fault == "probabilities":
            parts.append(nn.Sigmoid())
        network = nn.Sequential(*parts)
        if self.fault == "batch":
            network.register_forward_hook(lambda _m, _i, out: out - out.mean(0))
        return network


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("outputs", "3 outputs, and 2"),
        ("random", "other weights each time"),
        ("probabilities", "not probabilities"),
        ("batch", "companions in the batch"),
        ("digest", "digest"),
        ("layer", "no layer '5'"),
    ],
)
def test_a_wrong_model_is_caught(fault: str, words: str) -> None:
    testing.check_model(Small(strategy="bce"))
    with pytest.raises(testing.PluginError if fault != "outputs" and fault != "layer" else Exception, match=words):
        testing.check_model(Small(strategy="bce", fault=fault))


@dataclass(frozen=True, kw_only=True)
class PerPixel(Small):
    """A network that answers for every pixel: right."""

    name = "per_pixel"
    output: Literal["image", "pixels"] = "pixels"

    def load(self) -> Any:
        from torch import nn

        torch.manual_seed(0)
        if self.fault == "stride":
            return nn.Conv2d(3, 2, 3, stride=3)
        network = nn.Conv2d(3, 2, 2, stride=2)
        if self.fault == "neighbours":
            network.register_forward_hook(lambda _m, _i, out: out - out.mean(0))
        return network


@pytest.mark.parametrize(
    ("fault", "words"), [("stride", "a grid of 5 x 5 for images of 16 x 16"), ("neighbours", "companions")]
)
def test_a_wrong_model_of_pixels_is_caught(fault: str, words: str) -> None:
    testing.check_model(PerPixel(strategy="bce"))
    with pytest.raises(Exception, match=words):
        testing.check_model(PerPixel(strategy="bce", fault=fault))


class Quiet(Section):
    """One sentence: right."""

    name, title, template = "quiet", "Quiet", "<p>{{ count }} summaries.</p>"

    def context(self, evidence: Any) -> dict[str, Any]:
        return {"count": len(evidence.summaries)}


class Undefined(Quiet):
    """Uses a variable it does not give."""

    template = "<p>{{ missing_name }}</p>"


class Scripted(Quiet):
    """Brings a script."""

    template = "<script>1</script>"


class NeedsSummaries(Quiet):
    """Fails when there is nothing to say."""

    def context(self, evidence: Any) -> dict[str, Any]:
        return {"count": evidence.summaries[0].value}


@pytest.mark.parametrize(
    ("plugin", "error"), [(Undefined, Exception), (Scripted, testing.PluginError), (NeedsSummaries, IndexError)]
)
def test_a_wrong_section_is_caught(plugin: type[Section], error: type[Exception], evidence: Any) -> None:
    testing.check_section(Quiet(), evidence)
    with pytest.raises(error):
        testing.check_section(plugin(), evidence)
