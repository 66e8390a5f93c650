"""DICOM in: stored values become what they are meant to look like, air black, or the file is refused with a reason."""

from __future__ import annotations

import itertools
import math
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from auditor import Unreadable
from auditor.imaging import dicom_size, read_dicom, read_picture

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A DICOM file of these stored values; `bits` are stored of 8 or 16 allocated, other keywords are tags."""

    def made(values: Any, bits: int = 16, syntax: str = ExplicitVRLittleEndian, name: str = "x.dcm", **tags: Any) -> Path:
        values = np.asarray(values)
        signed = int(values.min() < 0)
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        kind = f"{order}{'i' if signed else 'u'}{1 if bits <= 8 else 2}"
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = syntax
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
        ds.Rows, ds.Columns = values.shape[-2:]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = (8 if bits <= 8 else 16), bits, bits - 1
        ds.PixelRepresentation = signed
        data = values.astype(kind).tobytes()
        ds.PixelData = data + b"\0" * (len(data) % 2)
        ds["PixelData"].VR = "OB" if bits <= 8 else "OW"
        for tag, value in tags.items():
            setattr(ds, tag, value)
        ds.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return made


def reason(read: Callable[[], Any]) -> str:
    with pytest.raises(Unreadable) as caught:
        read()
    return caught.value.reason


# 24 combinations against arithmetic by hand


def by_hand(value: int, bits: int, signed: bool, inverted: bool, slope: float, intercept: float, window: Any) -> float:
    """PS3.3 C.11.1.1.2 and the pseudo-code of C.11.2.1.2.1, for one value, with an output range of 0..1."""
    real = value * slope + intercept
    if window:
        centre, width = window
        if real <= centre - 0.5 - (width - 1) / 2:
            shown = 0.0
        elif real > centre - 0.5 + (width - 1) / 2:
            shown = 1.0
        else:
            shown = (real - (centre - 0.5)) / (width - 1) + 0.5
    else:
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        shown = (real - (least * slope + intercept)) / ((most - least) * slope)
    return 1 - shown if inverted else shown


@pytest.mark.parametrize(
    ("photometric", "signed", "bits", "windowed"),
    list(itertools.product(["MONOCHROME1", "MONOCHROME2"], [False, True], [8, 12, 16], [False, True])),
)
def test_24_combinations_equal_arithmetic_by_hand(
    write: Write, photometric: str, signed: bool, bits: int, windowed: bool
) -> None:
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    values = np.unique(
        np.r_[np.linspace(least, most, 60).astype(int), least, least + 1, -1 if signed else 1, 0, most - 1, most]
    )
    slope, intercept = 2.5, -1000.0
    low, high = least * slope + intercept, most * slope + intercept
    window = (round(low + 0.55 * (high - low)), round(0.4 * (high - low))) if windowed else None
    tags = {"WindowCenter": window[0], "WindowWidth": window[1]} if window else {}
    path = write(
        values[None], bits=bits, PhotometricInterpretation=photometric, PixelRepresentation=int(signed),
        RescaleSlope=slope, RescaleIntercept=intercept, **tags,
    )  # fmt: skip
    inverted = photometric == "MONOCHROME1"
    expected = [by_hand(int(value), bits, signed, inverted, slope, intercept, window) for value in values]
    assert {0.0, 1.0} <= set(expected)
    pixels = read_dicom(path)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[0, 0], expected, rtol=0, atol=1e-6)


def test_worked_example(write: Write) -> None:
    path = write([[0, 1023, 2047, 2048, 4095]], bits=12, WindowCenter=2048, WindowWidth=1025)
    np.testing.assert_allclose(read_dicom(path)[0, 0], [0, 0, 0.4995117, 0.5004883, 1], atol=1e-6)
    path = write([[0, 51, 255]], bits=8, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(read_dicom(path)[0, 0], [1, 0.8, 0], atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_equal_pydicoms(write: Write, function: str) -> None:
    values = np.arange(4096).reshape(64, 64)
    path = write(values, bits=12, WindowCenter=1800, WindowWidth=900, VOILUTFunction=function)
    ds = pydicom.dcmread(path)
    np.testing.assert_allclose(read_dicom(path)[0], pydicom.pixels.apply_voi_lut(ds.pixel_array, ds) / 4095, atol=1e-6)


def test_of_several_windows_the_first_is_used(write: Write) -> None:
    values = np.arange(256).reshape(16, 16)
    several = read_dicom(write(values, bits=8, WindowCenter=[100, 200], WindowWidth=[50, 20]))
    np.testing.assert_array_equal(several, read_dicom(write(values, bits=8, WindowCenter=100, WindowWidth=50)))


def test_a_window_of_width_one_is_a_step(write: Write) -> None:
    path = write([[99, 100, 101]], bits=8, WindowCenter=100.5, WindowWidth=1)
    np.testing.assert_array_equal(read_dicom(path)[0, 0], [0, 0, 1])


def test_an_empty_window_is_no_window(write: Write) -> None:
    path = write([[0, 255]], bits=8, WindowCenter=None, WindowWidth=None)
    np.testing.assert_array_equal(read_dicom(path)[0, 0], [0, 1])


def test_inversion_happens_once_however_often_the_header_says_it(write: Write) -> None:
    values = [[0, 255]]
    np.testing.assert_array_equal(read_dicom(write(values, bits=8))[0, 0], [0, 1])
    for shape in ({}, {"PresentationLUTShape": "INVERSE"}, {"PresentationLUTShape": "IDENTITY"}):
        path = write(values, bits=8, PhotometricInterpretation="MONOCHROME1", **shape)
        np.testing.assert_array_equal(read_dicom(path)[0, 0], [1, 0])


def test_a_header_that_contradicts_itself_about_air_is_refused(write: Write) -> None:
    path = write([[0, 255]], bits=8, PresentationLUTShape="INVERSE")
    assert reason(lambda: read_dicom(path)) == "photometric"


def test_a_negative_slope_turns_the_image_over(write: Write) -> None:
    path = write([[0, 4095]], bits=12, RescaleSlope=-1, RescaleIntercept=4095)
    np.testing.assert_array_equal(read_dicom(path)[0, 0], [1, 0])


def test_an_overlay_in_the_unused_high_bits_is_not_pixels(write: Write) -> None:
    for signed, stored, expected in (
        (0, [0xF000, 0xFFFF, 0x1800], [0, 1, 2048 / 4095]),
        (1, [0x0800, 0xF7FF, 0xF000], [0, 1, 2048 / 4095]),
    ):
        path = write([[0, 0, 0]], bits=12, PixelRepresentation=signed, PixelData=struct.pack("<3H", *stored) + b"")
        np.testing.assert_allclose(read_dicom(path)[0, 0], expected, atol=1e-6)


# Tables


def lut(keyword: str, entries: list[int], first: int, bits: int) -> dict[str, Any]:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", struct.pack(f"<{len(entries)}H", *entries))
    return {keyword: [item]}


def test_a_voi_table_is_looked_up_and_scaled_by_its_own_bits(write: Write) -> None:
    path = write([[0, 9, 10, 11, 12, 13, 255]], bits=8, **lut("VOILUTSequence", [0, 400, 900, 1023], 10, 10))
    np.testing.assert_allclose(read_dicom(path)[0, 0] * 1023, [0, 0, 0, 400, 900, 1023, 1023], atol=1e-3)


def test_a_table_of_8_bits_for_12_bit_values_does_not_wrap(write: Write) -> None:
    values = np.arange(4096).reshape(64, 64)
    path = write(values, bits=12, **lut("VOILUTSequence", [value >> 4 for value in range(4096)], 0, 8))
    np.testing.assert_allclose(read_dicom(path)[0], (values >> 4) / 255, atol=1e-6)


def test_8_bit_entries_may_come_two_to_a_word(write: Write) -> None:
    packed = [0 | 51 << 8, 102 | 255 << 8]
    sequence = lut("VOILUTSequence", packed, 0, 8)
    sequence["VOILUTSequence"][0].LUTDescriptor = [4, 0, 8]
    np.testing.assert_allclose(read_dicom(write([[0, 1, 2, 3]], bits=8, **sequence))[0, 0] * 255, [0, 51, 102, 255], atol=1e-4)


def test_a_modality_table_goes_before_the_window(write: Write) -> None:
    tables = lut("ModalityLUTSequence", [0, 100, 200, 1000], -1, 16)
    path = write([[-5, -1, 0, 1, 2]], bits=16, WindowCenter=150.5, WindowWidth=101, **tables)
    np.testing.assert_allclose(read_dicom(path)[0, 0], [0, 0, 0, 1, 1], atol=1e-6)
    path = write([[-5, -1, 0, 1, 2]], bits=16, **tables)
    np.testing.assert_allclose(read_dicom(path)[0, 0] * 65535, [0, 0, 100, 200, 1000], atol=1e-2)


def test_a_table_shorter_than_it_says_is_refused(write: Write) -> None:
    sequence = lut("VOILUTSequence", [0, 1], 0, 16)
    sequence["VOILUTSequence"][0].LUTDescriptor = [500, 0, 16]
    path = write([[0, 1]], bits=8, **sequence)
    assert reason(lambda: read_dicom(path)) == "header"


# Syntaxes and decoders


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, RLELossless])
def test_the_encoding_changes_nothing(write: Write, syntax: str) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (20, 30))
    plain = write(values, bits=12)
    if syntax == RLELossless:
        ds = pydicom.dcmread(plain)
        ds.compress(RLELossless)
        other = plain.with_name("other.dcm")
        ds.save_as(other)
    else:
        other = write(values, bits=12, syntax=syntax, name="other.dcm")
        ds = pydicom.dcmread(other)
    np.testing.assert_array_equal(read_dicom(other), read_dicom(plain))
    np.testing.assert_allclose(read_dicom(other)[0] * 4095, values, atol=1e-3)


def test_a_deflated_file_is_refused_before_anything_inflates_it(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = write(np.zeros((2, 2)), syntax=DeflatedExplicitVRLittleEndian).read_bytes()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(deflate.compress(b"\0" * 2**20) for _ in range(64)) + deflate.flush()
    path = tmp_path / "bomb.dcm"
    path.write_bytes(plain[: plain.index(DeflatedExplicitVRLittleEndian.encode()) + 40] + bomb)

    def inflates(*_: object, **__: object) -> None:
        raise AssertionError("dcmread was called")

    monkeypatch.setattr(pydicom, "dcmread", inflates)
    assert reason(lambda: read_dicom(path)) == "syntax"
    assert reason(lambda: dicom_size(path)) == "syntax"


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.4.95", "1.2\\\\3", "nonsense"]
)
def test_a_syntax_that_is_not_listed_is_refused(write: Write, uid: str) -> None:
    path = write([[0, 1]], bits=8)
    content = path.read_bytes()
    known = b"1.2.840.10008.1.2.1\0"
    assert content.count(known) == 1
    length = len(known).to_bytes(2, "little")
    renamed = uid.encode() + b"\0" * (len(uid) % 2)
    path.write_bytes(content.replace(length + known, len(renamed).to_bytes(2, "little") + renamed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert reason(lambda: read_dicom(path)) in {"syntax", "decode:header"}


def test_a_missing_decoder_is_named_with_the_command_that_brings_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(np.zeros((2, 2)))
    lacking = SimpleNamespace(is_available=False, missing_dependencies=["pylibjpeg - requires pylibjpeg-libjpeg>=2.1"])
    monkeypatch.setattr("pydicom.pixels.get_decoder", lambda _: lacking)
    with pytest.raises(Unreadable, match=r"requires pylibjpeg-libjpeg>=2.1.*pip install 'auditor\[dicom\]'") as caught:
        read_dicom(path)
    assert caught.value.reason == "decoder"


# Refusals


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "mode:colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "mode:colour"),
        ({"PhotometricInterpretation": "YBR_FULL"}, "mode:colour"),
        ({"SamplesPerPixel": 3}, "mode:colour"),
        ({"NumberOfFrames": 2}, "frames"),
        ({"NumberOfFrames": 10**6}, "frames"),
        ({"BitsStored": 0}, "header"),
        ({"BitsStored": 17}, "header"),
        ({"BitsAllocated": 32}, "header"),
        ({"HighBit": 14}, "header"),
        ({"Rows": 0}, "header"),
        ({"Rows": 60000, "Columns": 60000}, "cap:pixels"),
        ({"Rows": 3}, "decode:truncated"),
        ({"PixelData": b""}, "decode:truncated"),
        ({"WindowCenter": 1, "WindowWidth": 0}, "header"),
        ({"WindowCenter": 1, "WindowWidth": -5}, "header"),
        ({"WindowCenter": 1, "WindowWidth": 0.5}, "header"),
        ({"WindowCenter": 1, "WindowWidth": 5, "VOILUTFunction": "LOG"}, "header"),
        ({"RescaleSlope": 0}, "header"),
        ({"RescaleSlope": [1, 2]}, "header"),
    ],
    ids=str,
)
def test_a_header_that_cannot_be_honoured_is_refused(write: Write, tags: dict[str, Any], expected: str) -> None:
    path = write(np.zeros((2, 2)), **tags)
    assert reason(lambda: read_dicom(path)) == expected


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "1e308", "abc", "0x10"])
def test_numbers_that_are_no_numbers_never_become_pixels(write: Write, keyword: str, value: str) -> None:
    given = {"RescaleSlope": "1", "RescaleIntercept": "0", "WindowCenter": "2", "WindowWidth": "2", keyword: "3.141592"}
    path = write([[0, 1]], **given)
    content = path.read_bytes()
    assert content.count(b"3.141592") == 1
    path.write_bytes(content.replace(b"3.141592", value.encode().ljust(8)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if value == "1e308" and not keyword.startswith("Rescale"):
            assert np.isfinite(read_dicom(path)).all()
            return
        if value == "1e308" and keyword == "RescaleIntercept":
            assert reason(lambda: read_dicom(path)) == "header"
            return
        assert reason(lambda: read_dicom(path)) == "header"


def test_every_cut_of_a_file_is_refused(write: Write) -> None:
    path = write(np.arange(64).reshape(8, 8))
    whole = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for length in range(0, len(whole), 7):
            path.write_bytes(whole[:length])
            assert reason(lambda: read_dicom(path)) in {"not-an-image", "decode:header", "decode:truncated", "syntax"}


@pytest.mark.parametrize("kind", ["tables", "window", "rle", "jpeg2000"])
def test_damaged_files_are_read_or_refused_and_nothing_else_happens(write: Write, kind: str) -> None:
    tags = lut("ModalityLUTSequence", [1, 2], 0, 16) if kind == "tables" else {"RescaleSlope": 2, "RescaleIntercept": -1}
    path = write(np.arange(4096).reshape(64, 64), bits=12, WindowCenter=30, WindowWidth=20, **tags)
    if kind in ("rle", "jpeg2000"):
        ds = pydicom.dcmread(path)
        ds.compress(RLELossless if kind == "rle" else JPEG2000Lossless)
        ds.save_as(path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    outcomes: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(60):
            damaged = bytearray(whole)
            for place in random.integers(128, min(len(whole), 1400), random.integers(1, 5)):
                damaged[place] = random.integers(0, 256)
            path.write_bytes(damaged)
            try:
                pixels = read_dicom(path)
            except Unreadable as refusal:
                outcomes[refusal.reason] += 1
                continue
            assert np.isfinite(pixels).all()
            assert 0 <= pixels.min() <= pixels.max() <= 1
            outcomes["read"] += 1
    assert len(outcomes) > 2


def test_a_decoder_that_panics_loses_one_image_and_not_the_audit(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        """What a decoder written in Rust raises; no Exception."""

    def panics(_: object) -> None:
        raise PanicException("index out of bounds")

    path = write(np.zeros((2, 2)))
    monkeypatch.setattr(pydicom.FileDataset, "pixel_array", property(panics))
    assert reason(lambda: read_dicom(path)) == "decode:corrupt"

    def stops(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pydicom.FileDataset, "pixel_array", property(stops))
    with pytest.raises(KeyboardInterrupt):
        read_dicom(path)


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"MZ" + b"\0" * 500, b"\0" * 128 + b"DICOM"], ids=str)
def test_a_file_that_is_no_dicom_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.dcm").write_bytes(content)
    assert reason(lambda: read_dicom(tmp_path / "x.dcm")) in {"not-an-image", "decode:header"}


def test_sequences_nested_without_end_are_refused(write: Write, tmp_path: Path) -> None:
    content = write([[0, 1]], bits=8, VOILUTFunction="LINEAR").read_bytes()
    mark = content.index(b"\x28\x00\x56\x10")
    opening = b"\x28\x00\x10\x30SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path = tmp_path / "deep.dcm"
    path.write_bytes(content[:mark] + opening * 5000 + content[mark:])
    assert reason(lambda: read_dicom(path)) == "cap:depth"


def test_file_meta_that_is_too_long_is_refused(write: Write) -> None:
    path = write([[0, 1]], bits=8)
    content = bytearray(path.read_bytes())
    content[140:144] = struct.pack("<I", 10**6)
    path.write_bytes(content)
    assert reason(lambda: read_dicom(path)) == "cap:meta"


def test_what_the_header_says_of_the_patient_is_never_repeated(write: Write) -> None:
    path = write(np.zeros((2, 2)), PatientName="CANARYCANARY", PatientID="CANARYCANARY", Rows=50)
    with pytest.raises(Unreadable) as caught:
        read_dicom(path)
    assert "CANARY" not in f"{caught.value}{caught.value.reason}{caught.value.__cause__!r}"


def test_the_size_comes_from_the_header(write: Write) -> None:
    assert dicom_size(write(np.zeros((3, 7)))) == (3, 7)


# Real files


def _mean(image: Any, top: float, bottom: float, left: float, right: float) -> float:
    height, width = image.shape
    part = image[math.floor(top * height) : math.ceil(bottom * height), math.floor(left * width) : math.ceil(right * width)]
    return float(part.mean())


@pytest.mark.parametrize("kind", ["MONOCHROME1_15bit_J2K", "MONOCHROME1_15bit_JPEGLS", "MONOCHROME2_uncompressed"])
def test_lungs_and_air_are_darker_than_the_mediastinum_in_real_radiographs(shared_data: Path, kind: str) -> None:
    (path,) = (shared_data / "dicom").glob(f"*{kind}.dcm")
    image = read_dicom(path)[0]
    assert dicom_size(path) == image.shape
    mediastinum = _mean(image, 0.4, 0.5, 0.48, 0.54)
    lungs = [_mean(image, 0.3, 0.42, 0.3, 0.4), _mean(image, 0.3, 0.42, 0.62, 0.72)]
    corners = [_mean(image, 0, 0.02, 0, 0.02), _mean(image, 0, 0.02, 0.98, 1)]
    assert mediastinum > 0.8
    assert max(lungs) < mediastinum - 0.2
    assert max(corners) < mediastinum - 0.2


def test_both_compressions_of_the_nema_chest_show_the_same_image(shared_data: Path) -> None:
    lossy, near = (read_dicom(path)[0] for path in sorted((shared_data / "dicom").glob("nema*")))
    assert lossy.shape == near.shape == (1955, 1841)
    assert np.abs(lossy - near).mean() < 0.005


def test_the_nih_dicom_shows_what_its_png_shows(shared_data: Path) -> None:
    from PIL import Image

    (path,) = (shared_data / "dicom").glob("nih_00000002_000*")
    png = read_picture(shared_data / "chestxray14-sample" / "images" / "00000002_000.png")[0]
    full = Image.fromarray(np.rint(read_dicom(path)[0] * 255).astype(np.uint8))
    small = np.asarray(full.resize((256, 256), Image.Resampling.LANCZOS), np.float32) / 255
    assert np.abs(small - png).max() <= 1.5 / 255
