"""Pixels in: what is read is what was stored, and what cannot be read for certain is refused with a reason."""

from __future__ import annotations

import io
import os
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from auditor import Box, ConfigError, PluginError, Preprocessing, Unreadable
from auditor.boxes import pixel_edges, within
from auditor.imaging import MAX_PIXELS, normalise, path_problem, picture_size, prepare, read_picture, safe_path

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(array: Any, mode: str | None = None, name: str = "x.png", **options: Any) -> Path:
        image = array if isinstance(array, Image.Image) else Image.fromarray(np.asarray(array))
        (image.convert(mode) if mode else image).save(tmp_path / name, **options)
        return tmp_path / name

    return write


def png(width: int, height: int, depth: int, kind: int, rows: bytes) -> bytes:
    """A PNG written by hand: `rows` are the unfiltered bytes with a filter byte before each row."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def reason(read: Callable[[], Any]) -> str:
    with pytest.raises(Unreadable) as caught:
        read()
    assert str(caught.value)
    return caught.value.reason


# Paths


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/etc/passwd", "path:absolute"),
        ("//server/share", "path:absolute"),
        ("C:/x.png", "path:absolute"),
        ("../x.png", "path:parent"),
        ("a/../../x.png", "path:parent"),
        ("a/..", "path:parent"),
        ("..", "path:parent"),
        ("./../x.png", "path:parent"),
        ("a\\x.png", "path:backslash"),
        ("..\\x.png", "path:backslash"),
        ("C:\\x.png", "path:backslash"),
        ("a\0b.png", "path:control"),
        ("a\nb.png", "path:control"),
        ("\x1b[2J.png", "path:control"),
        ("a\x7f.png", "path:control"),
        ("a\x85.png", "path:control"),
        ("", "path:empty"),
        (".", "path:empty"),
        ("./", "path:empty"),
        (" ", "path:empty"),
        ("x" * 300, "path:long"),
        ("é" * 200 + ".png", "path:long"),
    ],
)
def test_a_name_that_could_leave_the_folder_is_refused_before_the_disk_is_asked(
    tmp_path: Path, name: str, problem: str
) -> None:
    assert path_problem(name) == problem
    assert reason(lambda: safe_path(tmp_path, name)) == problem


@pytest.mark.parametrize(
    "name", ["x.png", "a/b/x.png", "..x.png", "x..png", "CON", "naïve ж 胸.png", "a b.png", "-rf", "~/x.png"]
)
def test_a_plain_name_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    assert path_problem(name) is None
    assert safe_path(tmp_path, name) == tmp_path.resolve() / name


_opened: list[str] = []
_listening = False


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "open":
        _opened.append(str(arguments[0]))


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The paths opened during the test; audit hooks cannot be removed, so there is one and it is told when to listen."""
    global _listening
    if not getattr(sys, "_auditor_test_hook", False):
        sys.addaudithook(_listen)
        sys._auditor_test_hook = True  # type: ignore[attr-defined]
    _opened.clear()
    _listening = True
    yield _opened
    _listening = False


def test_a_canary_outside_the_folder_is_never_opened(tmp_path: Path, opened: list[str]) -> None:
    root = tmp_path / "root"
    root.mkdir()
    canary = tmp_path / "canary.png"
    Image.new("L", (2, 2)).save(canary)
    (root / "link.png").symlink_to(canary)
    (root / "folder").symlink_to(tmp_path)
    (root / "loop.png").symlink_to(root / "loop.png")
    opened.clear()
    for name in ("link.png", "folder/canary.png", "../canary.png", str(canary)):
        assert reason(lambda name=name: read_picture(safe_path(root, name))).startswith("path:")  # type: ignore[misc]
    assert reason(lambda: read_picture(safe_path(root, "loop.png"))) in ("path:link", "missing")
    assert not [path for path in opened if "canary" in path]


def test_a_link_that_stays_inside_the_folder_is_followed(tmp_path: Path) -> None:
    Image.new("L", (2, 3), 255).save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("a.png")
    assert read_picture(safe_path(tmp_path, "b.png")).shape == (1, 3, 2)


# Bit depth and modes


def test_every_8_bit_value_is_k_over_255(save: Save) -> None:
    pixels = read_picture(save(np.arange(256, dtype=np.uint8).reshape(16, 16)))
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[0].ravel(), np.arange(256, dtype=np.float32) / np.float32(255))


def test_every_16_bit_value_is_k_over_65535_and_nothing_is_clipped(save: Save) -> None:
    path = save(np.arange(65536, dtype=np.uint16).reshape(256, 256))
    with Image.open(path) as image:
        assert image.mode == "I;16"
        assert np.asarray(image.convert("L")).mean() > 250, "the trap this test is about: Pillow clips I;16 to L"
    pixels = read_picture(path)
    np.testing.assert_array_equal(pixels[0].ravel(), np.arange(65536, dtype=np.float32) / np.float32(65535))
    assert pixels.mean() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("depth", "row", "expected"), [(1, 0b10000000, [1, 0]), (2, 0b01110000, [1 / 3, 1]), (4, 0x5F, [1 / 3, 1])]
)
def test_greys_of_fewer_bits_are_scaled_by_their_own_range(tmp_path: Path, depth: int, row: int, expected: list[float]) -> None:
    (tmp_path / "x.png").write_bytes(png(2, 1, depth, 0, bytes([0, row])))
    np.testing.assert_allclose(read_picture(tmp_path / "x.png")[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_in_a_colour_mode_is_grey(save: Save, mode: str) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    pixels = read_picture(save(grey, mode), colour=True)
    np.testing.assert_array_equal(pixels, grey[None] / np.float32(255))


def test_real_colours_need_to_be_meant(save: Save) -> None:
    array = np.zeros((4, 5, 3), np.uint8)
    array[..., 0], array[2, 3] = 51, (255, 0, 102)
    path = save(array)
    assert reason(lambda: read_picture(path)) == "mode:colour"
    pixels = read_picture(path, colour=True)
    assert pixels.shape == (3, 4, 5)
    np.testing.assert_allclose(pixels[:, 2, 3], [1, 0, 0.4], rtol=1e-6)
    np.testing.assert_allclose(pixels[:, 0, 0], [0.2, 0, 0], rtol=1e-6)


def test_a_jpeg_of_grey_is_grey_whether_stored_as_grey_or_as_colour(save: Save) -> None:
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    one = read_picture(save(grey, name="a.jpg", quality=95))
    three = read_picture(save(grey, "RGB", name="b.jpg", quality=95))
    assert one.shape == three.shape == (1, 64, 64)
    np.testing.assert_allclose(one[0], grey / 255, atol=0.02)
    np.testing.assert_allclose(three, one, atol=0.02)


def test_transparency_is_refused_since_what_lies_under_it_is_undefined(save: Save, tmp_path: Path) -> None:
    array = np.full((4, 4, 4), 255, np.uint8)
    array[0, 0, 3] = 254
    assert reason(lambda: read_picture(save(array), colour=True)) == "mode:transparent"
    assert reason(lambda: read_picture(save(array[..., 2:]))) == "mode:transparent"
    assert reason(lambda: read_picture(save(array[..., 0], name="t.png", transparency=255))) == "mode:transparent"


def test_a_palette_is_refused_unless_colours_are_meant(save: Save) -> None:
    array = np.zeros((4, 4, 3), np.uint8)
    array[0, 0] = (255, 0, 0)
    path = save(Image.fromarray(array).quantize(4))
    assert reason(lambda: read_picture(path)) == "mode:palette"
    np.testing.assert_array_equal(read_picture(path, colour=True)[:, 0, 0], [1, 0, 0])


def test_cmyk_is_refused(save: Save) -> None:
    assert reason(lambda: read_picture(save(Image.new("CMYK", (8, 8)), name="x.jpg"), colour=True)) == "mode:CMYK"


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_is_refused_because_only_its_high_bytes_would_be_read(tmp_path: Path, kind: int, channels: int) -> None:
    (tmp_path / "x.png").write_bytes(png(1, 1, 16, kind, b"\0" + b"\xff\xff" * channels))
    assert reason(lambda: read_picture(tmp_path / "x.png", colour=True)) == "mode:16-bit-colour"


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_an_exif_orientation_is_refused_because_boxes_are_in_stored_pixels(save: Save, name: str) -> None:
    turned, upright = Image.Exif(), Image.Exif()
    turned[0x0112], upright[0x0112] = 6, 1
    image = Image.new("L", (8, 4), 128)
    assert reason(lambda: read_picture(save(image, name=name, exif=turned))) == "orientation"
    assert read_picture(save(image, name=name, exif=upright)).shape == (1, 4, 8)


def test_an_animated_png_is_refused(save: Save) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (0, 255)]
    assert reason(lambda: read_picture(save(frames[0], save_all=True, append_images=frames[1:]))) == "frames"


# Broken and hostile files


def _bytes(fmt: str, size: int = 64) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    Image.fromarray(noise).save(out, fmt)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not-an-image"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not-an-image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "not-an-image"),
        (_bytes("PNG")[:20], "not-an-image"),
        (_bytes("PNG")[:2000], "decode:truncated"),
        (_bytes("JPEG")[:1500], "decode:truncated"),
        (_bytes("PNG")[:1000] + b"\0" * 64 + _bytes("PNG")[1064:], "decode:corrupt"),
        (_bytes("TIFF"), "not-an-image"),
        (_bytes("BMP"), "not-an-image"),
        (_bytes("GIF"), "not-an-image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not-an-image"),
    ],
    ids=["empty", "html", "git-lfs", "png-header", "png-half", "jpeg-half", "png-hole", "tiff", "bmp", "gif", "eps"],
)
def test_a_file_that_is_no_whole_picture_is_refused_with_a_reason(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    assert reason(lambda: read_picture(path)) == expected


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG"]), st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else_happens(fmt: str, data: st.DataObject) -> None:
    content = bytearray(_bytes(fmt, 16))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
        file.flush()
        try:
            pixels = read_picture(Path(file.name), colour=True)
        except Unreadable:
            return
    assert pixels.dtype == np.float32
    assert pixels.ndim == 3
    assert 0 <= pixels.min() <= pixels.max() <= 1


@pytest.mark.parametrize("side", [8_000, 12_000, 20_000])
@pytest.mark.parametrize("filters", ["error", "ignore"])
def test_a_bomb_is_refused_from_its_header(tmp_path: Path, side: int, filters: Any) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, 1, 0, b""))
    assert side * side > MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter(filters)
        assert reason(lambda: read_picture(path)) == "cap:pixels"
        assert reason(lambda: picture_size(path)) == "cap:pixels"


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path, opened: list[str]) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as handle:
        handle.truncate(300 * 2**20)
    opened.clear()
    assert reason(lambda: read_picture(path)) == "cap:file"
    assert str(path) not in opened


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert reason(lambda: read_picture(tmp_path / "absent.png")) == "missing"
    assert reason(lambda: read_picture(tmp_path / ("x" * 300))) == "missing"
    assert reason(lambda: read_picture(tmp_path)) == "not-an-image"
    assert reason(lambda: read_picture(tmp_path / "pipe.png")) == "not-an-image"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(save: Save) -> None:
    path = save(np.zeros((2, 2), np.uint8))
    path.chmod(0)
    assert reason(lambda: read_picture(path)) == "permission"


def test_reading_stops_when_someone_lets_pillow_accept_half_an_image(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(np.zeros((2, 2), np.uint8))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(PluginError, match="LOAD_TRUNCATED_IMAGES"):
        read_picture(path)


def test_the_size_is_read_without_decoding(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(30, 20, 8, 0, b""))
    assert picture_size(path) == (20, 30)
    assert reason(lambda: read_picture(path)).startswith("decode:")


def test_details_do_not_tell_where_the_file_lies(tmp_path: Path) -> None:
    path = tmp_path / "secret-name.png"
    path.write_bytes(_bytes("PNG")[:500])
    for content in (b"", _bytes("PNG")[:500]):
        path.write_bytes(content)
        with pytest.raises(Unreadable) as caught:
            read_picture(path)
        assert "secret-name" not in str(caught.value)


# What the network is fed

PLAIN = {"mean": (0.0,), "std": (1.0,)}


def test_what_came_from_8_bits_returns_as_exactly_k_over_255() -> None:
    values = np.arange(256, dtype=np.float32).reshape(1, 16, 16) / np.float32(255)
    recipe = Preprocessing(size=16, channels=1, **PLAIN)  # type: ignore[arg-type]
    stored, frame = prepare(values, recipe)
    np.testing.assert_array_equal(stored.ravel(), np.arange(256) * 257)
    assert stored.dtype == np.uint16
    assert frame == (0, 0, 1, 1)
    np.testing.assert_array_equal(normalise(stored[None], recipe).numpy()[0], values)


def test_what_came_from_16_bits_is_kept_to_the_last_bit() -> None:
    values = np.arange(65536, dtype=np.float32).reshape(1, 256, 256) / np.float32(65535)
    stored, _ = prepare(values, Preprocessing(size=256))
    np.testing.assert_array_equal(stored.ravel(), np.arange(65536))


def test_normalised_pixels_equal_torchvisions() -> None:
    import torch
    from torchvision.transforms.v2 import functional as vision

    stored = np.random.default_rng(0).integers(0, 65536, (3, 1, 9, 9)).astype(np.uint16)
    recipe = Preprocessing(size=9)
    unit = torch.from_numpy(stored.astype(np.float32) / np.float32(65535)).repeat(1, 3, 1, 1)
    expected = vision.normalize(unit, list(recipe.mean), list(recipe.std))
    assert torch.equal(normalise(stored, recipe), expected)


@pytest.mark.parametrize("shape", [(1, 300, 200), (1, 200, 301), (3, 97, 97), (1, 40, 333), (1, 1024, 1024)])
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_the_geometry_equals_torchvisions(shape: tuple[int, int, int], fit: Any) -> None:
    import torch
    from torchvision.transforms.v2 import functional as vision

    pixels = np.random.default_rng(1).random(shape, np.float32)
    batch = torch.tensor(pixels)
    if fit == "stretch":
        expected = vision.resize(batch, [64, 64], antialias=True)
    else:
        expected = vision.center_crop(vision.resize(batch, [73], antialias=True), [64, 64])
    stored, _ = prepare(pixels, Preprocessing(size=64, fit=fit))
    np.testing.assert_allclose(stored / 65535, expected.numpy(), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(40, 150), st.integers(40, 150), st.sampled_from(["stretch", "crop"]), st.data())
def test_boxes_follow_the_pixels_whatever_the_fit(height: int, width: int, fit: Any, data: st.DataObject) -> None:
    left, top = data.draw(st.integers(0, width - 12)), data.draw(st.integers(0, height - 12))
    right, bottom = data.draw(st.integers(left + 10, width)), data.draw(st.integers(top + 10, height))
    pixels = np.zeros((1, height, width), np.float32)
    pixels[0, top:bottom, left:right] = 1
    stored, frame = prepare(pixels, Preprocessing(size=96, fit=fit))
    seen = within(Box("x", left / width, top / height, right / width, bottom / height), frame)
    rows, columns = np.nonzero(stored[0] > 32767)
    if seen is None:
        assert rows.size == 0
        return
    edges = pixel_edges(seen, 96, 96)
    if edges.right - edges.left < 4 or edges.bottom - edges.top < 4:
        return
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.subtract(found, edges)).max() <= 1


def test_the_default_crop_is_that_of_imagenet() -> None:
    _, frame = prepare(np.zeros((1, 512, 512), np.float32), Preprocessing(size=224, fit="crop"))
    assert frame == (16 / 256, 16 / 256, 240 / 256, 240 / 256)


def test_a_crop_larger_than_the_resized_image_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="resize is 200, and a crop of 224"):
        prepare(np.zeros((1, 512, 512), np.float32), Preprocessing(fit="crop", resize=200))


def test_a_sliver_cannot_be_blown_up_by_a_crop() -> None:
    assert reason(lambda: prepare(np.zeros((1, 1, 400_000), np.float32), Preprocessing(fit="crop"))) == "cap:pixels"


def test_grey_is_repeated_and_colour_does_not_fit_one_channel() -> None:
    grey, colour = np.zeros((2, 1, 4, 4), np.uint16), np.zeros((2, 3, 4, 4), np.uint16)
    assert normalise(grey, Preprocessing(size=4)).shape == (2, 3, 4, 4)
    assert normalise(colour, Preprocessing(size=4)).shape == (2, 3, 4, 4)
    assert normalise(grey, Preprocessing(size=4, channels=1, mean=(0.5,), std=(0.5,))).shape == (2, 1, 4, 4)
    with pytest.raises(PluginError, match="one channel"):
        normalise(colour, Preprocessing(size=4, channels=1, mean=(0.5,), std=(0.5,)))


@pytest.mark.parametrize(
    "wrong", [{"mean": (0.5, 0.5)}, {"std": (1.0, 0.0, 1.0)}, {"std": (float("nan"),) * 3}, {"mean": (float("inf"),) * 3}]
)
def test_a_mean_or_std_that_cannot_be_used_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="preprocessing"):
        normalise(np.zeros((1, 1, 4, 4), np.uint16), Preprocessing(size=4, **wrong))


def test_pixels_that_break_the_contract_of_a_data_set_are_not_passed_on() -> None:
    recipe = Preprocessing(size=4)
    with pytest.raises(PluginError, match="float64"):
        prepare(np.zeros((1, 4, 4)), recipe)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="not float32"):
        prepare(np.zeros((2, 4, 4), np.float32), recipe)
    with pytest.raises(PluginError, match="0 to 255"):
        prepare(np.linspace(0, 255, 16, dtype=np.float32).reshape(1, 4, 4), recipe)
    assert reason(lambda: prepare(np.full((1, 4, 4), np.nan, np.float32), recipe)) == "nonfinite"


def test_read_only_pixels_are_prepared_without_a_warning() -> None:
    pixels = np.zeros((1, 8, 8), np.float32)
    pixels.flags.writeable = False
    assert prepare(pixels, Preprocessing(size=4))[0].shape == (1, 4, 4)


def test_importing_imaging_brings_no_torch_nor_pillow_nor_pydicom() -> None:
    import subprocess

    code = "import sys, auditor.imaging; print([m for m in ('torch', 'PIL', 'pydicom', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
