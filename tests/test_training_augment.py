"""Variations of training images, held to exact cases, slow twins and laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch import Tensor

from auditor.errors import ConfigError, PluginError
from auditor.imaging import normalise
from auditor.model import Preprocessing
from auditor.training.augment import HOLE, HOLES, LOTS, MARGIN, _imba_explain_maps, _paper_maps, as_fed, canvas, vary

Kind = Literal["none", "flip", "paper", "imba_explain"]
KINDS: tuple[Kind, ...] = ("none", "flip", "paper", "imba_explain")


def told(values: dict[int, float], otherwise: float = 0.75) -> Tensor:
    """One row of lots: everything that happens half of the time does not happen, except what is said."""
    row = torch.full((1, LOTS), otherwise)
    for place, value in values.items():
        row[0, place] = value
    return row


def pictures(count: int, side: int, channels: int = 1) -> Tensor:
    return torch.rand((count, channels, side, side), generator=torch.Generator().manual_seed(3))


def all_of(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [1, 3])
def test_without_augmentation_a_network_is_fed_what_the_audit_feeds_it_to_the_bit(stored: int, channels: Literal[1, 3]) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (5, stored, 9, 9), np.uint16)
    pixels.flat[:2] = 0, 65535
    lens = Preprocessing(9, channels, mean=(0.485, 0.456, 0.406)[:channels], std=(0.229, 0.224, 0.225)[:channels])
    from auditor.training.loop import _unit

    unit = _unit(pixels, "cpu")
    if stored > channels:
        with pytest.raises(PluginError, match="images with colours"):
            as_fed(unit, lens)
        return
    shown = vary(unit, told({}), all_of(5), "none", 9)
    assert torch.equal(as_fed(shown, lens), normalise(pixels, lens))


def test_a_normalisation_for_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"preprocessing\.std has 2 values for 3 channels"):
        as_fed(torch.zeros(1, 1, 4, 4), Preprocessing(4, 3, mean=(0.5,), std=(0.5, 0.5)))


def test_a_flip_is_a_flip() -> None:
    images = pictures(2, 6)
    shown = vary(images, torch.cat([told({0: 0.2}), told({0: 0.7})]), all_of(2), "flip", 6)
    assert torch.equal(shown, torch.stack([images[0].flip(2), images[1]]))


def test_crops_are_taken_from_a_larger_canvas() -> None:
    lens = Preprocessing(224, fit="crop", resize=256)
    for kind in ("paper", "imba_explain"):
        assert (canvas(lens, kind).size, canvas(lens, kind).resize) == (256, 293)  # type: ignore[arg-type]
    assert canvas(Preprocessing(224), "paper").resize is None
    assert canvas(lens, "flip") is canvas(lens, "none") is lens


@pytest.mark.parametrize(("across", "down"), [(0, 0), (2, 0), (1, 2), (0, 1)])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_crop_of_whole_pixels_is_that_part_of_the_canvas(across: int, down: int, flipped: bool) -> None:
    images = pictures(1, 16)  # 14 of 16 pixels: the crop can begin at 0, 1 or 2
    row = told({0: 0.2 if flipped else 0.7, 1: across / 2, 2: down / 2, 10: 0.5, 11: 0.5})
    shown = vary(images, row, all_of(1), "paper", 14)
    part = images[:, :, down : down + 14, across : across + 14]
    torch.testing.assert_close(shown, part.flip(3) if flipped else part, atol=2e-6, rtol=0)


def test_brightness_and_contrast_worked_by_hand() -> None:
    images = torch.tensor([0.2, 0.4, 0.6, 0.8]).reshape(1, 1, 2, 2)
    from auditor.training.augment import _jitter

    assert _jitter(images, torch.tensor([[0.1, 0.0]])).flatten().tolist() == pytest.approx([0.3, 0.5, 0.7, 0.9])
    assert _jitter(images, torch.tensor([[0.0, -0.1]])).flatten().tolist() == pytest.approx([0.23, 0.41, 0.59, 0.77])
    assert _jitter(images, torch.tensor([[0.3, 0.0]])).flatten().tolist() == pytest.approx([0.5, 0.7, 0.9, 1.0])


FULL = {1: 1.0, 2: 0.5, 3: 0.5, 4: 0.5, 8: 0.5, 13: 0.5, 14: 0.5}


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_the_whole_image_transposed_and_flipped(turned: bool, flipped: bool) -> None:
    images = pictures(1, 12)
    row = told({**FULL, 0: 0.2 if flipped else 0.7, 5: 0.2 if turned else 0.7})
    wanted = images.transpose(2, 3) if turned else images
    shown = vary(images, row, all_of(1), "imba_explain", 12)
    torch.testing.assert_close(shown, wanted.flip(3) if flipped else wanted, atol=2e-6, rtol=0)


def slow_twin(image: Any, matrix: Any, size: int) -> Any:
    """Each pixel of the result by itself: where it lies on the canvas, and SciPy's bilinear value there, black outside."""
    side = image.shape[-1]
    found = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            x, y = (2 * column + 1) / size - 1, (2 * row + 1) / size - 1
            across, down = matrix @ np.array([x, y, 1.0])
            place = [[((down + 1) * side - 1) / 2], [((across + 1) * side - 1) / 2]]
            found[row, column] = map_coordinates(image, place, order=1, mode="grid-constant", cval=0.0)[0]
    return found


@pytest.mark.parametrize("seed", range(6))
def test_what_is_geometric_equals_a_slow_twin(seed: int) -> None:
    row = torch.rand((1, LOTS), generator=torch.Generator().manual_seed(seed))
    row[0, 9] = row[0, 12] = 0.9  # neither jitter nor holes
    image = pictures(1, 16)
    shown = vary(image, row, all_of(1), "imba_explain", 14)[0, 0].numpy()
    wanted = slow_twin(image[0, 0].double().numpy(), _imba_explain_maps(row.double())[0].numpy(), 14)
    np.testing.assert_allclose(shown, wanted, atol=2e-5)


def test_a_rotation_keeps_shape_and_goes_about_the_middle() -> None:
    row = told({**FULL, 6: 0.2, 7: 1.0})  # 45 degrees
    (matrix,) = _imba_explain_maps(row)
    cosine = math.sqrt(0.5)
    assert matrix[:, 2].tolist() == pytest.approx([0, 0], abs=1e-6)
    torch.testing.assert_close(matrix[:, :2], torch.tensor([[cosine, -cosine], [cosine, cosine]]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=LOTS, max_size=LOTS))
def test_a_crop_never_leaves_the_canvas(values: list[float]) -> None:
    row = torch.tensor([values])
    row[0, 6] = 0.9  # neither shift, scale nor rotation: those may show black
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]]).T
    for maps in (_paper_maps(row), _imba_explain_maps(row)):
        assert ((maps[0] @ corners).abs() <= 1 + 1e-5).all()
        assert abs(float(torch.linalg.det(maps[0][:, :2]))) <= 1 + 1e-5
    assert float(torch.linalg.det(_paper_maps(row)[0][:, :2]).abs()) == pytest.approx(MARGIN**-2, rel=1e-5)


def test_holes_are_black_squares_within_the_image_and_nothing_else_changes() -> None:
    images = torch.full((1, 1, 56, 56), 0.5)
    row = torch.rand((1, LOTS), generator=torch.Generator().manual_seed(1))
    row[0, :16] = told(FULL)[0, :16]
    row[0, 12] = 0.2
    shown = vary(images, row, all_of(1), "imba_explain", 56)[0, 0]
    black = (shown == 0).numpy()
    assert np.allclose(shown.numpy()[~black], 0.5, atol=1e-6)
    wanted = np.zeros((56, 56), bool)
    for x, y in (row[0, 16:].reshape(HOLES, 2) * (1 - HOLE) * 56).tolist():
        inside = [[x <= c + 0.5 < x + 56 * HOLE and y <= r + 0.5 < y + 56 * HOLE for c in range(56)] for r in range(56)]
        wanted |= np.array(inside)
    assert (black == wanted).all()
    assert 0 < black.sum() <= HOLES * 4


@pytest.mark.parametrize("kind", KINDS)
def test_values_stay_between_0_and_1(kind: Kind) -> None:
    many = torch.rand((64, LOTS), generator=torch.Generator().manual_seed(2))
    shown = vary(pictures(64, 16, 3), many, all_of(64), kind, 16 if kind in ("none", "flip") else 14)
    assert shown.shape == (64, 3, *([16, 16] if kind in ("none", "flip") else [14, 14]))
    assert float(shown.min()) >= 0
    assert float(shown.max()) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_variation_of_an_image_does_not_depend_on_its_company(kind: Kind) -> None:
    images, many = pictures(9, 16), torch.rand((9, LOTS), generator=torch.Generator().manual_seed(5))
    size = 16 if kind in ("none", "flip") else 14
    together = vary(images, many, all_of(9), kind, size)
    apart = torch.cat([vary(images[i : i + 1], many[i : i + 1], all_of(1), kind, size) for i in range(9)])
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["flip", "paper", "imba_explain"])
def test_an_image_that_is_spared_is_shown_whole(kind: Kind) -> None:
    images, many = pictures(4, 16), torch.rand((4, LOTS), generator=torch.Generator().manual_seed(6))
    many[:, 0] = 0.1
    chosen = torch.tensor([True, False, True, False])
    shown = vary(images, many, chosen, kind, 16)
    torch.testing.assert_close(shown[1::2], images[1::2], atol=2e-6, rtol=0)
    assert not torch.allclose(shown[::2], images[::2], atol=1e-3)


def test_the_variations_of_an_epoch_belong_to_places_and_not_to_processes(
    write_training: Callable[..., Path], trainings: Callable[[Path], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from auditor.training.ranks import Ranks

    path = write_training(recipe="{use: small, epochs: 1, batch: 8, augmentation: imba_explain}")

    def seen(number: int, of: int) -> dict[int, Tensor]:
        (training,) = trainings(path)
        training.setting = replace(training.setting, ranks=type("Alone", (Ranks,), {"add_up": lambda _, value: value,
            "add_gradients": lambda *_: None, "average": lambda *_: None, "gather": lambda _, own: [own] * of})(number, of))  # fmt: skip
        found: dict[int, Tensor] = {}
        monkeypatch.setattr(training, "_validate", lambda _: {})
        step, order, made = training._step, training._order(1), iter(range(3))

        def spy(batch: Any, *rest: Any) -> Any:
            places = range(24)[next(made) * 8 :][:8][number::of]
            found.update({int(order[place]): image for place, image in zip(places, batch.images, strict=True)})
            return step(batch, *rest)

        monkeypatch.setattr(training, "_step", spy)
        training.epoch(1, lambda _: None)
        return found

    alone, first, second = seen(0, 1), seen(0, 2), seen(1, 2)
    assert sorted(first) + sorted(second) != sorted(alone)
    assert sorted([*first, *second]) == sorted(alone) == list(range(24))
    for image, value in (first | second).items():
        torch.testing.assert_close(value, alone[image], atol=1e-5, rtol=0)
