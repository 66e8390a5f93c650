"""Contract checks: what every plugin of a kind must hold to. Run them on your own plugin; the test suite runs them on ours.

    from auditor.testing import check_attribution
    check_attribution(MyAttribution())

Each raises ContractBroken with what was found and what is promised.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import tally as tallies_of
from .analysis import NEEDS, Analysis
from .attribution import Attribution
from .batch import Batch, View
from .boxes import pixel_edges, union_mask
from .changed import Film
from .conclusion_contract import check_conclusion
from .contract import ContractBroken as ContractBroken
from .contract import check_component, expect, no_trace
from .dataset import Box, Dataset, Sample
from .errors import PluginError as PluginError
from .errors import Unreadable
from .evidence import Evidence
from .masks import UNKNOWN
from .measuring import checked
from .model import ModelLoader, ScoreTable
from .network import Cases, Network
from .section import Section
from .strategy_contract import check_strategy as check_strategy
from .trials import Trials, by_lot

CLASSES = ("Nodule", "Effusion", "Mass")
HEIGHT, WIDTH = 32, 48


# Fixtures whose truth is known: bright squares on a dark field, and a network that adds up brightness.


def planted_samples(count: int = 6) -> tuple[Sample, ...]:
    """Samples with one or two boxed classes each, and one image without any box."""
    samples = []
    for number in range(count):
        labels = tuple(int((number + k) % 3 != 2) for k in range(3)) if number != 4 else (0, 0, 0)
        boxes = [Box(CLASSES[k], *_square(number, k)) for k in range(3) if labels[k]]
        samples.append(Sample(f"image-{number}", f"patient-{number // 2}", labels, tuple(boxes)))
    return tuple(samples)


def _square(number: int, target: int) -> tuple[float, float, float, float]:
    left, top, side = (3 + 5 * number + 11 * target) % 34, (2 + 7 * number + 5 * target) % 20, 6 + 2 * target + number % 2
    return left / WIDTH, top / HEIGHT, (left + side) / WIDTH, (top + side) / HEIGHT


def planted_images(samples: tuple[Sample, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    """[N, 3, 32, 48]: channel k is bright inside the boxes of class k, with faint noise elsewhere."""
    noise = np.random.Generator(np.random.Philox(key=[7, 7])).uniform(0, 0.05, (len(samples), 3, HEIGHT, WIDTH))
    images = torch.from_numpy(noise).to(dtype)
    for number, sample in enumerate(samples):
        for box in sample.boxes:
            rows = slice(round(box.top * HEIGHT), round(box.bottom * HEIGHT))
            columns = slice(round(box.left * WIDTH), round(box.right * WIDTH))
            images[number, CLASSES.index(box.label), rows, columns] = 1.0
    return images


class BrightnessNetwork(nn.Module):
    """Looks at channel k for class k: features are local brightness, the head is pooling and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        local = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.features = nn.Sequential(local, nn.ReLU())
        self.head = nn.Linear(6, 3)
        with torch.no_grad():
            local.weight.copy_(torch.eye(3).repeat(2, 1)[:, :, None, None] / 9)
            local.bias.copy_(torch.tensor([0, 0, 0, 0.1, -0.2, -0.4]))  # type: ignore[union-attr]
            self.head.weight.copy_(torch.eye(3).repeat(1, 2) * 4 - 0.3)
            self.head.bias.fill_(-0.5)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(images).mean((2, 3)))
        return out


def planted_network(images: Tensor) -> Network:
    """The brightness network, opened on these images."""
    module = BrightnessNetwork().to(images.dtype)
    network = Network(module, range(3), {"attribution": "features", "dissection": "features"})
    network.probe(images[:2], CLASSES)
    return network


class BrightPixels(nn.Module):
    """Answers for every second pixel: class k is where channel k is bright."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, 1::2, 1::2] * 8 - 3


def planted_mask(sample: Sample) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The boxes of a planted sample as a mask uint8 [3, 32, 48]."""
    edges = [[pixel_edges(box, HEIGHT, WIDTH) for box in sample.boxes if box.label == name] for name in CLASSES]
    return np.stack([union_mask(boxes, HEIGHT, WIDTH) for boxes in edges]).astype(np.uint8)


def planted_batch(rows: list[int] | None = None, dtype: torch.dtype = torch.float32, pixels: bool = False) -> Batch:
    """Some of the planted samples as a batch; with `pixels` the network answers for every pixel."""
    every = planted_samples()
    samples = tuple(every[row] for row in rows) if rows is not None else every
    images = planted_images(every, dtype)[rows if rows is not None else slice(None)]
    network = Network(BrightPixels(), range(3), output="pixels") if pixels else planted_network(images)
    return Batch(
        samples, CLASSES, size=(HEIGHT, WIDTH), network=network, images=images, masks=lambda image: planted_mask(samples[image]),
        film=Film(images, lambda pictures: pictures, len(images)),
    )  # fmt: skip


# The checks, one per kind.


def check_dataset(dataset: Dataset, reads: int = 5) -> None:
    """Unique ids, labels per class, boxes of known classes, pixels in 0..1, masks that fit image and labels, the same twice over."""
    check_component(dataset, Dataset)
    classes = dataset.classes()
    expect(
        isinstance(classes, tuple) and classes and len(set(classes)) == len(classes),
        f"classes() gave {classes!r}, not unique names",
    )
    samples = dataset.index()
    expect(samples, "index() lists no sample")
    expect(len({s.id for s in samples}) == len(samples), "index() lists an id twice")
    expect(samples == dataset.index(), "index() differs from call to call")
    for sample in samples:
        expect(isinstance(sample.id, str) and sample.id and sample.patient, f"{sample.id!r} has no id or no patient")
        expect(len(sample.labels) == len(classes), f"{sample.id}: {len(sample.labels)} labels for {len(classes)} classes")
        expect(set(sample.labels) <= {0, 1, None}, f"{sample.id}: labels are {sample.labels}, not 1, 0 or None")
        for box in sample.boxes:
            expect(box.label in classes, f"{sample.id}: a box of {box.label!r}, which is not a class")
            sane = all(-1 <= edge <= 2 for edge in (box.left, box.top, box.right, box.bottom))
            expect(sane, f"{sample.id}: box edges {box} are not fractions of the image")
    told, said = dataset.attributes(), {name for sample in samples for name in sample.metadata}
    expect(told is None or said <= set(told), f"attributes() gave {told!r}; samples also say {sorted(said - set(told or ()))}")
    expect(not (wrong := list(dataset.mistakes())), f"mistakes() finds fault with what can be listed: {wrong[:1]}")
    for sample in [s for s in samples if not s.problem][:reads]:
        _check_pixels(dataset, sample)


def _check_pixels(dataset: Dataset, sample: Sample) -> None:
    try:
        pixels, again = dataset.read(sample), dataset.read(sample)
    except Unreadable:
        return
    expect(
        isinstance(pixels, np.ndarray) and pixels.dtype == np.float32,
        f"{sample.id}: read() gave {type(pixels).__name__}, not float32",
    )
    expect(pixels.ndim == 3 and pixels.shape[0] in (1, 3), f"{sample.id}: read() gave shape {pixels.shape}, not [1 or 3, H, W]")
    expect(np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1, f"{sample.id}: pixels are not within 0..1")
    expect(np.array_equal(pixels, again), f"{sample.id}: read() differs from call to call")
    _check_mask(dataset, sample, pixels.shape[1:])


def _check_mask(dataset: Dataset, sample: Sample, size: tuple[int, ...]) -> None:
    try:
        mask, again = dataset.mask(sample), dataset.mask(sample)
    except Unreadable:
        return
    if mask is None:
        return
    shape = (len(sample.labels), *size)
    expect(
        isinstance(mask, np.ndarray) and mask.dtype == np.uint8 and mask.shape == shape,
        f"{sample.id}: mask() gave {_shape(mask)}; allowed: uint8 {list(shape)}, the grid of its image",
    )
    expect(set(np.unique(mask).tolist()) <= {0, 1, UNKNOWN}, f"{sample.id}: mask() has other values than 0, 1 and {UNKNOWN}")
    assert again is not None
    expect(np.array_equal(mask, again), f"{sample.id}: mask() differs from call to call")
    for name, label, outline in zip(dataset.classes(), sample.labels, mask, strict=True):
        expect(label != 0 or not (outline == 1).any(), f"{sample.id}: mask() shows {name}, and its label is 0")
        expect(label != 1 or outline.any(), f"{sample.id}: mask() shows no {name}, and its label is 1")


def check_model(loader: ModelLoader) -> None:
    """Declared outputs, audited layers that give maps, the same network twice, and images that do not see each other."""
    check_component(loader, ModelLoader)
    classes = loader.declared_classes()
    expect(classes and len(set(classes)) == len(classes), f"declared_classes() gave {classes!r}, not unique names")
    expect(isinstance(loader.digest(), str) and loader.digest() == loader.digest(), "digest() differs from call to call")
    if isinstance(loader, ScoreTable):
        scores = loader.scores(["no such image"])
        expect(
            scores.shape == (1, len(classes)) and np.isnan(scores).all(),
            f"scores() of an unknown image gave {scores}, not a row of NaN",
        )
        return
    first, second = loader.load(), loader.load()
    states = (first.state_dict(), second.state_dict())
    expect(all(torch.equal(states[0][key], states[1][key]) for key in states[0]), "load() gives other weights each time")
    size = loader.preprocessing
    images = torch.rand((3, size.channels, size.size, size.size), generator=torch.Generator().manual_seed(0))
    layers = loader.layers
    chosen = {"attribution": layers.attribution or loader.default_layers().attribution} if loader.output == "image" else {}
    network = Network(first, range(len(classes)), {role: name for role, name in chosen.items() if name}, loader.output)
    network.probe(images, classes)
    together, alone = network(images), network(images[1:2])
    expect(torch.isfinite(together).all(), "the network gives logits that are not numbers")
    expect(
        torch.allclose(together[1:2], alone, rtol=1e-3, atol=1e-3), "an image's logits depend on its companions in the batch"
    )
    extreme = torch.cat([network(images * 1e3), network(images * -1e3)])
    expect((extreme < 0).any() or (extreme > 1).any(), "outputs stay within 0..1: return logits, not probabilities")


def check_attribution(attribution: Attribution) -> None:
    """One finite map per case, on the side of the evidence, whoever else is in the batch, and no trace on the network."""
    check_component(attribution, Attribution)
    samples = planted_samples()
    images = planted_images(samples)
    network = planted_network(images)
    cases = Cases(torch.tensor([0, 0, 1, 2, 2, 3, 5]), torch.tensor([0, 1, 0, 1, 2, 0, 1]))
    with no_trace(network.module):
        maps = _explained(attribution, network, images, cases)
    expect(
        isinstance(maps, Tensor) and maps.ndim == 3 and len(maps) == len(cases.image),
        f"gave {_shape(maps)}, not maps [{len(cases.image)}, h, w]",
    )
    expect(torch.isfinite(maps).all(), "gave maps that are not finite")
    expect(not maps.requires_grad, "gave maps that still carry a graph")
    expect(
        torch.allclose(maps, _explained(attribution, network, images.clone(), cases), rtol=1e-6),
        "gives other maps the second time",
    )
    order = torch.tensor([6, 2, 0, 5, 1, 4, 3])
    turned = _explained(attribution, network, images.clone(), Cases(cases.image[order], cases.target[order]))
    expect(torch.allclose(turned, maps[order], rtol=1e-6), "a map depends on the order of the cases")
    for case in (0, 4):
        one = images[cases.image[case] : cases.image[case] + 1]
        alone = _explained(attribution, network, one, Cases(torch.tensor([0]), cases.target[case : case + 1]))
        expect(torch.allclose(alone[0], maps[case], rtol=1e-5, atol=1e-12), "a map depends on the other images of the batch")
    expect(not torch.allclose(maps[0], maps[1]), "two classes of one image have the same map")
    _check_polarity(maps, samples, cases)


def _explained(attribution: Attribution, network: Network, images: Tensor, cases: Cases) -> Tensor:
    torch.manual_seed(0)
    return attribution.explain(network, images, cases)


def _check_polarity(maps: Tensor, samples: tuple[Sample, ...], cases: Cases) -> None:
    """The network adds up brightness in the box, so a map must be higher inside the box than outside."""
    right = 0
    boxed = 0
    for case, (image, target) in enumerate(zip(cases.image.tolist(), cases.target.tolist(), strict=True)):
        for box in [b for b in samples[image].boxes if b.label == CLASSES[target]]:
            height, width = maps.shape[1:]
            inside = torch.zeros((height, width), dtype=torch.bool)
            inside[
                int(box.top * height) : math.ceil(box.bottom * height), int(box.left * width) : math.ceil(box.right * width)
            ] = True
            right += bool(maps[case][inside].mean() > maps[case][~inside].mean())
            boxed += 1
    expect(
        right == boxed,
        f"on {boxed - right} of {boxed} planted cases the map is lower on the evidence than elsewhere: polarity or axes are turned",
    )


def check_analysis(analysis: Analysis, attribution: Attribution | None = None) -> None:
    """The metrics it declares, within their bounds, the same for a case whoever else is looked at, tallies that merge."""
    check_component(analysis, Analysis)
    expect(analysis.metrics, "declares no metric")
    for metric in analysis.metrics:
        expect(metric.says.strip().endswith("."), f"metric {metric.name}: `says` is not a sentence")
    unknown = analysis.needs - NEEDS
    expect(not unknown, f"needs {sorted(unknown)}; there is {sorted(NEEDS)}")
    together = analysis.needs & {"logits", "attribution"} if "overall" in analysis.needs else None
    expect(not together, "needs overall, and an image as a whole has no logit and no map")
    expect(
        "attribution" not in analysis.needs or attribution is not None, "needs an attribution: give one as the second argument"
    )
    _tried(analysis)
    if analysis.concludes:
        check_conclusion(analysis)
        return
    whole = _measured(analysis, attribution, [0, 1, 2, 3, 4, 5])
    expect(whole, "measures no case of the planted batch")
    for rows in ([3, 1], [5], [4, 0, 2]):
        for case, values in _measured(analysis, attribution, rows).items():
            for name, value in values.items():
                other = whole[case][name]
                same = value == other or (math.isnan(value) and math.isnan(other)) or abs(value - other) < 1e-5
                expect(same, f"{name} of {case} depends on the batch: {value:.6g} in one, {other:.6g} in another")
    _check_tallies(analysis)


def _measured(analysis: Analysis, attribution: Attribution | None, rows: list[int]) -> dict[tuple[str, int], dict[str, float]]:
    """{(sample, class): {metric: value}} for some of the planted samples, with data-set statistics over all of them."""
    finished = _observed(analysis, [[0, 1, 2, 3, 4, 5]])
    batch = planted_batch(rows, pixels="pixels" in analysis.needs)
    cases, _ = batch.cases(analysis.needs)
    if not cases:
        return {}
    tried = _tried(analysis)
    cases = [case for case in cases if tried is None or batch.samples[case[0]].id in tried]
    if not cases:
        return {}
    view = batch.view(analysis.needs, cases, attribution, finished, tried)
    if type(analysis).changed is not Analysis.changed:
        _check_changed(analysis, view)
    columns = checked(analysis, analysis.measure(view), len(cases))
    return {
        (batch.samples[image].id, target): {name: float(column[place]) for name, column in columns.items()}
        for place, (image, target) in enumerate(cases)
    }


def _check_changed(analysis: Analysis, view: View) -> None:
    """As many pictures as a trial costs, like those of the view."""
    shape = list(view.pictures.shape[1:])
    for (image, trial), shown in analysis.changed(view).items():
        place = f"changed() gave for image {image} and {trial!r}"
        expect(trial in view.trials[image], f"{place} what trials() did not name: {', '.join(view.trials[image]) or 'none'}")
        expect(len(shown) == analysis.per_trial, f"{place} {len(shown)} pictures; per_trial is {analysis.per_trial}")
        for picture in shown:
            fits = list(picture.shape) == shape and float(picture.min()) >= 0 and float(picture.max()) <= 1
            expect(fits, f"{place} {list(picture.shape)} from {picture.min():g} to {picture.max():g}, not {shape} in 0..1")


def _tried(analysis: Analysis) -> Trials | None:
    """What the analysis tries on the planted samples: on images that there are, and told where it costs forward passes."""
    samples = by_lot(planted_samples(), 0)
    tried = analysis.trials(samples)
    expect(
        tried is not None or not analysis.per_trial,
        "per_trial is set, and trials() says of no image that anything is tried on it",
    )
    unknown = sorted(set(tried or ()) - {sample.id for sample in samples})
    expect(not unknown, f"trials() names images that it was not handed: {', '.join(unknown)}")
    return tried


def _observed(analysis: Analysis, parts: list[list[int]]) -> dict[str, Any]:
    needs = getattr(analysis, "observes", analysis.needs)
    tallies = dict(analysis.tallies())
    for rows in parts if tallies else []:
        batch = planted_batch(rows)
        cases, _ = batch.cases(needs)
        if cases:
            analysis.observe(tallies, batch.view(needs, cases, None, tallies))
    return tallies


def _check_tallies(analysis: Analysis) -> None:
    """Parts merged equal the whole, and a tally survives being written and read."""
    whole = _observed(analysis, [[0, 1, 2, 3, 4, 5]])
    if not whole:
        return
    left, right = _observed(analysis, [[5, 2]]), _observed(analysis, [[4], [0, 3, 1]])
    for name, tally in left.items():
        tally.merge(right[name])
    again = dict(analysis.tallies())
    tallies_of.load(again, tallies_of.dump(left))
    expected, found = analysis.summarise(whole), analysis.summarise(again)
    for name in expected:
        same = math.isclose(expected[name], found[name], rel_tol=1e-9, abs_tol=1e-12)
        expect(same, f"tallies merged from parts give {name} = {found[name]:.6g}, the whole gives {expected[name]:.6g}")


def check_section(section: Section, evidence: Evidence) -> None:
    """Renders from this evidence and from evidence with nothing in it, without a script or a name that is not there."""
    from .report import new_environment, section_body

    check_component(section, Section)
    expect(isinstance(section.title, str) and section.title, "has no title")
    for content in (evidence, dataclasses.replace(evidence, summaries=(), comparisons=(), findings=(), gaps=(), pictures=())):
        section_body(new_environment(), type(section), content)


def _shape(value: object) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor | np.ndarray) else type(value).__name__
