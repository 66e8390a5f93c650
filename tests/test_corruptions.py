"""Changes of the picture: worked examples, PIL and torchvision as oracles, and laws that hold for any picture."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional as transforms

from auditor import intensity, warps
from auditor.corruptions import CORRUPTIONS, words
from auditor.map_agreement import agreement

NONE: list[np.random.Generator] = []


def draws(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.Generator(np.random.Philox(key=[seed, number])) for number in range(count)]


def pictures(seed: int = 0, n: int = 2, channels: int = 1, height: int = 40, width: int = 48) -> torch.Tensor:
    """Smooth blobs with some texture, in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((n, channels, 5, 6), generator=generator)
    fine = torch.rand((n, channels, height, width), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return 0.9 * smooth + 0.1 * fine


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_change_keeps_the_range_and_the_shape_and_changes_the_picture(name: str, channels: int) -> None:
    before = pictures(channels=channels, height=80, width=100)
    after = CORRUPTIONS[name].changed(before, draws(2))
    assert after.shape == before.shape
    assert after.dtype == before.dtype
    assert 0 <= float(after.min()) <= float(after.max()) <= 1
    assert 1e-4 < float((after - before).abs().mean()) < 0.3


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_change_is_the_same_the_second_time_and_for_an_image_alone(name: str) -> None:
    before, one = pictures(), CORRUPTIONS[name]
    assert torch.equal(one.changed(before, draws(2)), one.changed(before, draws(2)))
    torch.testing.assert_close(one.changed(before, draws(2))[1:], one.changed(before[1:], draws(2)[1:]), rtol=0, atol=1e-6)


@settings(max_examples=8, deadline=None)
@given(st.floats(0, 1))
def test_even_pictures_stay_even_except_for_noise(grey: float) -> None:
    even = torch.full((1, 1, 16, 20), grey)
    for name in CORRUPTIONS.keys() - {"noise"}:
        after = CORRUPTIONS[name].changed(even, draws(1))
        assert float(after.max() - after.min()) < 1e-5, name
    for name in ("blur", "low_resolution", "rotation", "shift", "crop"):
        torch.testing.assert_close(CORRUPTIONS[name].changed(even, draws(1)), even, rtol=0, atol=1e-5)


def test_grey_values_of_a_worked_example() -> None:
    values = torch.tensor([0.0, 0.25, 0.5, 1.0]).reshape(1, 1, 1, 4)
    assert intensity.gamma(values, NONE, 2.0).flatten().tolist() == [0.0, 0.0625, 0.25, 1.0]
    assert intensity.window(values, NONE, 1.25).flatten().tolist() == [0.0, 0.1875, 0.5, 1.0]
    assert intensity.window(values, NONE, 0.5).flatten().tolist() == [0.25, 0.375, 0.5, 0.75]
    assert intensity.lower_resolution(values, NONE, 0.5).flatten().tolist() == pytest.approx([0.125, 0.28125, 0.59375, 0.75])


def test_gamma_up_undoes_gamma_down_and_brighter_is_brighter() -> None:
    before = pictures()
    there = CORRUPTIONS["brighter"].changed(before, NONE)
    assert bool((there >= before).all())
    torch.testing.assert_close(CORRUPTIONS["darker"].changed(there, NONE), before, rtol=0, atol=1e-6)


def test_noise_has_the_stated_deviation_in_white_and_a_tenth_of_it_in_black() -> None:
    for grey, deviation in ((0.5, 0.05 * 100**-0.25), (0.1, 0.05 * math.exp(-0.9 * math.log(10)))):
        after = intensity.quantum_noise(torch.full((1, 1, 300, 300), grey), draws(1), 0.05)
        assert float((after - grey).std()) == pytest.approx(deviation, rel=0.02)
        assert float((after - grey).mean()) == pytest.approx(0, abs=4 * deviation / 300)
    white = intensity.quantum_noise(torch.ones((1, 1, 300, 300)), draws(1), 0.05)
    assert float((1 - white).square().mean().sqrt()) == pytest.approx(0.05 / math.sqrt(2), rel=0.02), (
        "the upper half is clipped"
    )


def test_noise_is_the_same_in_all_channels_and_another_in_every_image() -> None:
    after = intensity.quantum_noise(torch.full((2, 3, 20, 20), 0.5), draws(2), 0.05)
    assert torch.equal(after[:, 0], after[:, 1])
    assert not torch.equal(after[0], after[1])


def test_blur_is_torchvisions_away_from_the_edges() -> None:
    before = pictures(height=60, width=60)
    sigma = 0.03 * 60
    after = intensity.blur(before, NONE, 0.03)
    oracle = transforms.gaussian_blur(before, [2 * math.ceil(4 * sigma) + 1] * 2, [sigma, sigma])
    torch.testing.assert_close(after[:, :, 10:-10, 10:-10], oracle[:, :, 10:-10, 10:-10], rtol=0, atol=1e-6)


def test_jpeg_is_what_a_file_of_pil_holds() -> None:
    (before,) = pictures(n=1, channels=3)
    grey = np.rint(before.double().numpy() * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.moveaxis(grey, 0, -1)).save(file, "JPEG", quality=50)
    read = np.moveaxis(np.asarray(Image.open(file)), -1, 0)
    after = intensity.jpeg(before[None], NONE, 50)[0]
    assert np.array_equal(np.rint(after.numpy() * 255), read)
    assert not np.array_equal(read, grey)


def test_a_rotation_is_torchvisions_on_a_picture_that_is_not_square() -> None:
    before = pictures(height=40, width=64)
    warp = warps.turned(draws(2), 40, 64, 5.0)
    after = warps.warped(before, warp)
    for picture, result, matrix in zip(before, after, warp, strict=True):
        degrees = math.degrees(math.asin(float(matrix[1, 0]) * 40 / 64))
        assert abs(degrees) == pytest.approx(5)
        oracle = transforms.rotate(picture[None], degrees, transforms.InterpolationMode.BILINEAR)[0]
        torch.testing.assert_close(result[:, 6:-6, 6:-6], oracle[:, 6:-6, 6:-6], rtol=0, atol=1e-4)


def test_a_shift_moves_whole_pixels_and_continues_the_edge() -> None:
    before = torch.arange(25.0).reshape(1, 1, 1, 25).expand(1, 1, 25, 25) / 25
    after = CORRUPTIONS["shift"].changed(before, draws(1))
    step = round(float((after - before)[0, 0, 12, 12]) * 25)
    assert abs(step) == 1  # 4 % of 25
    torch.testing.assert_close(after[:, :, 1:-1, 1:-1], before.roll(-step, 3)[:, :, 1:-1, 1:-1], rtol=0, atol=1e-5)
    assert float(after[0, 0, 0, 24 if step > 0 else 0]) == pytest.approx(float(before[0, 0, 0, 24 if step > 0 else 0]))


def test_a_crop_shows_the_middle_larger() -> None:
    before = torch.linspace(0, 1, 101).expand(1, 1, 101, 101)
    after = warps.warped(before, warps.cropped(draws(1), 101, 101, 0.04))
    slope = float(after[0, 0, 50, 60] - after[0, 0, 50, 40]) / float(before[0, 0, 50, 60] - before[0, 0, 50, 40])
    assert slope == pytest.approx(0.92, abs=1e-3)
    assert float(after[0, 0, 50, 50]) == pytest.approx(0.5, abs=1e-6)


def test_both_sides_are_drawn() -> None:
    signs = {float(matrix[1, 0]) > 0 for matrix in warps.turned(draws(40), 30, 30, 5.0)}
    assert signs == {True, False}
    steps = {(bool(m[0, 2] > 0), bool(m[1, 2] > 0)) for m in warps.shifted(draws(80), 30, 30, 0.1)}
    assert len(steps) == 4


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000))
def test_rotating_or_shifting_by_nothing_changes_nothing(seed: int) -> None:
    before = pictures(seed)
    for warp in (
        warps.turned(draws(2, seed), 40, 48, 0.0),
        warps.shifted(draws(2, seed), 40, 48, 0.0),
        warps.cropped(draws(2, seed), 40, 48, 0.0),
    ):
        torch.testing.assert_close(warps.warped(before, warp), before, rtol=0, atol=1e-5)
        back, seen = warps.moved_back(before[:, 0], warp)
        torch.testing.assert_close(back.float(), before[:, 0], rtol=0, atol=1e-5)
        assert bool(seen.all())


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000))
def test_a_map_that_goes_with_the_picture_comes_back_to_where_it_was(seed: int) -> None:
    maps = pictures(seed)
    for name in ("shift", "crop", "rotation"):
        warp = CORRUPTIONS[name].warp(draws(2, seed), 40, 48)
        moved = warps.warped(maps, warp)[:, 0]
        back, seen = warps.moved_back(moved, warp)
        away = (back - maps[:, 0].double()).abs()[seen]
        assert float(away.mean()) < 0.03, name
        assert 0.7 < float(seen.double().mean()) < 1, name
        (one, two) = agreement(maps[:, 0], moved, warp)
        assert min(one, two) > 0.95, name
        (first, _) = agreement(maps[:, 0], moved, None)
        assert first < one, "without moving it back it agrees less"


def test_what_a_shift_pushes_out_of_the_picture_is_not_compared() -> None:
    warp = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]], dtype=torch.float64)  # shows the right half on the left
    _, seen = warps.moved_back(torch.zeros((1, 1, 4)), warp)
    assert seen.flatten().tolist() == [False, False, True, True]


def test_agreement_of_worked_examples() -> None:
    one = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert agreement(one, one, None).tolist() == [1.0]
    assert agreement(one, one * 7 + 3, None).tolist() == [1.0], "only the order counts"
    assert agreement(one, torch.tensor([[[4.0, 3.0], [2.0, 1.0]]]), None).tolist() == [-1.0]
    assert agreement(one, torch.tensor([[[1.0, 2.0], [4.0, 3.0]]]), None) == pytest.approx([0.8])
    against = torch.tensor([[[-5.0, 2.0], [3.0, 4.0]]])  # what speaks against the finding is the same nothing
    assert agreement(against, against.clamp(min=0), None).tolist() == [1.0]


def test_agreement_with_an_empty_or_broken_map() -> None:
    one, empty = torch.tensor([[[1.0, 2.0]]]), torch.zeros((1, 1, 2))
    assert agreement(one, empty, None).tolist() == [0.0], "a map that vanishes agrees with nothing"
    assert agreement(one, torch.tensor([[[math.nan, 1.0]]]), None).tolist() == [0.0]
    assert np.isnan(agreement(empty, one, None)).all()
    assert np.isnan(agreement(torch.tensor([[[math.inf, 1.0]]]), one, None)).all()


def test_every_change_says_what_it_is() -> None:
    for name, one in CORRUPTIONS.items():
        assert name == one.name
        assert one.reading.endswith(".")
        assert words(name) == one.words
    assert words("a_plugins_own") == "a plugins own"
