"""Overlap of maps and boxes: worked examples, explicit upsampling as a slow twin, and what an empty map scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from auditor_plugins.analyses.alignment import Alignment, unit_range
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from auditor import Attribution, Box, Cases, ConfigError, Network, Sample
from auditor.batch import Batch, View
from auditor.bilinear import matrix, steps


@dataclass(frozen=True)
class Given(Attribution):
    """Hands out maps made beforehand, one per image."""

    name = "given"
    maps: torch.Tensor

    def __hash__(self) -> int:
        return id(self)

    def explain(self, network: Network, images: torch.Tensor, cases: Cases) -> torch.Tensor:
        return self.maps[cases.image]


def view(maps: torch.Tensor, size: tuple[int, int], boxes: list[list[tuple[int, int, int, int]]]) -> View:
    """One case per map; boxes (left, top, right, bottom) in pixels of the grid."""
    height, width = size
    samples = [
        Sample(
            f"i{n}",
            f"p{n}",
            (1,),
            tuple(Box("Mass", x0 / width, y0 / height, x1 / width, y1 / height) for x0, y0, x1, y1 in own),
        )
        for n, own in enumerate(boxes)
    ]
    network = Network(torch.nn.Identity(), [0])
    batch = Batch(samples, ["Mass"], size=size, network=network, images=torch.zeros(len(samples), 1, *size))
    cases, _ = batch.cases(Alignment.needs)
    return batch.view(Alignment.needs, cases, Given(maps))


def twin(raw: torch.Tensor, mask: np.ndarray, hard: float | None = None) -> dict[str, float]:
    """Methods A.4 and A.5 as they stand, with torch's own upsampling."""
    m = raw.double().clamp(min=0)
    h = (m - m.min()) / (m.max() - m.min() + 1e-8)
    h = torch.nn.functional.interpolate(h[None, None], size=mask.shape, mode="bilinear", align_corners=False)[0, 0].numpy()
    peaks = np.isclose(h, h.max(), rtol=1e-9, atol=0)
    soft, b = h, mask.astype(float)
    k, chance = int(mask.sum()), h.mean() * mask.sum()
    cbl = ((h * b).sum() - chance) / (np.sort(h, axis=None)[-k:].sum() - chance) if soft.any() else 0.0
    if hard is not None:
        h = (h >= hard).astype(float)
    return {
        "iobb": (h * b).sum() / (b.sum() + 1e-8),
        "ior": (h * b).sum() / (h.sum() + 1e-8),
        "iou": (h * b).sum() / (b.sum() + h.sum() - (h * b).sum() + 1e-8),
        "pointing_game": (peaks & mask).sum() / peaks.sum(),
        "empty_map": float(not soft.any()),
        "cbl": cbl,
        "pixel_auc": roc_auc_score(mask.ravel(), soft.ravel().round(12)),
        "map_mass": soft.mean(),
        "box_share": mask.mean(),
        "effective_support": soft.sum() ** 2 / (soft.size * (soft**2).sum()),
    }


T_A5 = torch.tensor([[[0, 0.2, 0.4, 0.2], [0.2, 1, 0.6, 0.2], [0, 0.6, 0.8, 0.4], [0, 0, 0.2, 0]]])
CENTRE = [[(1, 1, 4, 3)]]


def test_soft_overlap_of_the_worked_example_t_a5() -> None:
    found = Alignment().measure(view(T_A5, (4, 4), CENTRE))
    assert found["iobb"][0] == pytest.approx(0.6, abs=1e-6)
    assert found["ior"][0] == pytest.approx(0.75, abs=1e-6)
    assert found["iou"][0] == pytest.approx(0.5, abs=1e-6)
    assert found["pointing_game"][0] == 1
    assert found["empty_map"][0] == 0


def test_hard_overlap_of_the_worked_example_t_a5() -> None:
    found = Alignment(hard=0.5).measure(view(T_A5, (4, 4), CENTRE))
    assert found["iobb"][0] == pytest.approx(0.666667, abs=1e-6)
    assert found["ior"][0] == pytest.approx(1, abs=1e-6)


def test_relu_comes_before_the_scaling_as_in_t_a6() -> None:
    raw = np.array([[[-1.0, 3.0], [1.0, -5.0]]])
    np.testing.assert_allclose(unit_range(np.maximum(raw, 0)), [[[0, 1], [1 / 3, 0]]], atol=1e-8)
    np.testing.assert_allclose(unit_range(raw), [[[0.5, 1], [0.75, 0]]], atol=1e-8)
    found = Alignment().measure(view(torch.tensor(raw), (2, 2), [[(0, 0, 2, 1)]]))
    assert found["iobb"][0] == pytest.approx(0.5, abs=1e-6)
    assert found["ior"][0] == pytest.approx(0.75, abs=1e-6)


@pytest.mark.parametrize(
    ("nodes", "size"), [((7, 7), (224, 224)), ((5, 9), (48, 40)), ((1, 3), (7, 20)), ((14, 6), (30, 100)), ((9, 8), (5, 4))]
)
@pytest.mark.parametrize("hard", [None, 0.37])
def test_every_metric_equals_explicit_upsampling(nodes: tuple[int, int], size: tuple[int, int], hard: float | None) -> None:
    generator = torch.Generator().manual_seed(3)
    maps = torch.randn(6, *nodes, generator=generator)
    random = np.random.default_rng(5)
    boxes = []
    for _ in range(6):
        xs, ys = np.sort(random.choice(size[1] + 1, 2, False)), np.sort(random.choice(size[0] + 1, 2, False))
        boxes.append([(xs[0], ys[0], xs[1], ys[1]), (0, 0, 1, 1)])
    shown = view(maps, size, boxes)
    found = Alignment(hard=hard).measure(shown)
    for case, mask in enumerate(shown.masks()):
        for name, value in twin(maps[case], mask, hard).items():
            assert found[name][case] == pytest.approx(value, abs=1e-6), name


@given(st.integers(1, 30), st.integers(1, 90))
@settings(deadline=None, max_examples=60)
def test_the_two_steps_are_torchs_bilinear_interpolation(nodes: int, pixels: int) -> None:
    values = torch.arange(nodes).double().mul(1.7).cos()
    expected = torch.nn.functional.interpolate(values[None, None], size=pixels, mode="linear", align_corners=False)[
        0, 0
    ].numpy()
    np.testing.assert_allclose(matrix(nodes, pixels) @ values.numpy(), expected, atol=1e-12)
    spread = steps(nodes, pixels)
    mixed = values.numpy()[spread.lower] * (1 - spread.weight) + values.numpy()[spread.upper] * spread.weight
    np.testing.assert_allclose(mixed, expected, atol=1e-12)
    assert ((spread.weight >= 0) & (spread.weight < 1)).all()


@pytest.mark.parametrize("level", [0.0, -3.0, 2.0])
def test_a_map_that_points_nowhere_scores_its_box_area_and_is_counted(level: float) -> None:
    found = Alignment().measure(view(torch.full((1, 3, 5), level), (30, 40), [[(0, 0, 10, 12)]]))
    assert found["empty_map"][0] == 1
    assert found["pointing_game"][0] == pytest.approx(10 * 12 / (30 * 40))
    assert found["iobb"][0] == found["ior"][0] == found["iou"][0] == found["cbl"][0] == found["map_mass"][0] == 0
    assert found["pixel_auc"][0] == 0.5
    assert np.isnan(found["effective_support"][0])


def test_tied_peaks_share_the_point() -> None:
    raw = torch.zeros(1, 3, 9)
    raw[0, 1, 1] = raw[0, 1, 4] = raw[0, 1, 7] = 1
    found = Alignment().measure(view(raw, (3, 9), [[(0, 0, 3, 3)]]))
    assert found["pointing_game"][0] == pytest.approx(1 / 3)


def test_a_corner_peak_is_a_plateau_of_ties_after_upsampling() -> None:
    raw = torch.zeros(1, 2, 2)
    raw[0, 0, 0] = 1
    found = Alignment().measure(view(raw, (8, 12), [[(0, 0, 1, 2)]]))
    assert found["pointing_game"][0] == pytest.approx(2 / (2 * 3))


def test_a_map_with_a_nan_has_no_value_and_spoils_no_other() -> None:
    raw = torch.rand(3, 4, 4)
    raw[1, 2, 2] = torch.nan
    raw[2, 0, 0] = torch.inf
    found = Alignment().measure(view(raw, (8, 8), [[(0, 0, 4, 4)]] * 3))
    for name, values in found.items():
        assert np.isnan(np.stack(values)[1:]).all(), name
        assert np.isfinite(values[0]).all(), name


def test_scaling_a_map_changes_nothing() -> None:
    raw = torch.rand(1, 4, 4).double() * 100
    boxes = [[(2, 1, 7, 5)]]
    first, second = (Alignment().measure(view(scale * raw, (8, 8), boxes)) for scale in (1, 37))
    for name in first:
        assert first[name][0] == pytest.approx(second[name][0], abs=1e-8)


def test_boxes_that_overlap_are_counted_once() -> None:
    found = Alignment().measure(view(torch.rand(1, 4, 4), (4, 4), [[(0, 0, 4, 4), (0, 0, 4, 4)]]))
    assert found["ior"][0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("name", "by"), [("larger", 1), ("smaller", -1)])
def test_boxes_of_another_size_score_as_if_they_had_been_drawn_so(name: str, by: int) -> None:
    """A box of 20 x 10 pixels whose sides change by a tenth: one pixel at the left and right, half a pixel at top and bottom."""
    raw = torch.rand(1, 5, 7, generator=torch.Generator().manual_seed(1))
    found = Alignment().measure(view(raw, (40, 60), [[(20, 15, 40, 25)]]))
    changed = (20 - by, 15 - (by > 0), 40 + by, 25 + (by > 0))  # half a pixel is rounded outward
    expected = Alignment().measure(view(raw, (40, 60), [[changed]]))
    assert found[f"cbl_{name}_boxes"][0] == pytest.approx(expected["cbl"][0], abs=1e-12)
    np.testing.assert_allclose(found[f"cbl_{name}_boxes_elsewhere"][0], expected["cbl_elsewhere"][0], atol=1e-12)


def test_a_hard_threshold_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"hard: 1.5 is not above 0 and at most 1"):
        Alignment(hard=1.5)


def test_measure_returns_every_declared_metric() -> None:
    measured = {metric.name for metric in Alignment.metrics if not metric.of}
    assert set(Alignment().measure(view(T_A5, (4, 4), CENTRE))) == measured


def test_a_box_that_is_the_whole_image_has_no_chance_corrected_value() -> None:
    found = Alignment().measure(view(torch.rand(1, 4, 4), (8, 8), [[(0, 0, 8, 8)]]))
    assert np.isnan([found["cbl"][0], found["pixel_auc"][0], found["pointing_game"][0]]).all()
    assert found["ior"][0] == pytest.approx(1)
