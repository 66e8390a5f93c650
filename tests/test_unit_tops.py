"""Top images of a unit: worked example, a slow twin, planted truth, and what becomes of them in an audit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import Box, Conclusion, Sample
from auditor.batch import Batch, View
from auditor.conclusion import TopUnit, from_json
from auditor.detecting import coverage
from auditor.pictures import load
from auditor.run import run
from auditor.shown_units import COUNTED, KIND, SHOWN_IMAGES, SHOWN_UNITS
from auditor.unit_tops import UnitTops

CLASSES = ("Mass", "Nodule", "Hernia")
NEEDS = frozenset({"features", "box", "overall"})
Array = np.ndarray[Any, Any]


def views(samples: list[Sample], maps: Array, batch: int) -> Iterator[View]:
    for first in range(0, len(samples), batch):
        part = slice(first, first + batch)
        one = Batch(samples[part], CLASSES, size=(56, 56), features=torch.from_numpy(maps[part]), seed=5)
        if cases := one.cases(NEEDS)[0]:
            yield one.view(NEEDS, cases)


def named(
    samples: list[Sample], maps: Array, limits: Array, batch: int = 7, usable: Array | None = None
) -> tuple[TopUnit, ...]:
    seen = UnitTops()
    for view in views(samples, maps, batch):
        seen.add(view, limits)
    return seen.chosen(np.ones(maps.shape[1], bool) if usable is None else usable)


def film(
    number: int, patient: str, label: str, box: tuple[float, float, float, float], labels: tuple[int | None, ...]
) -> Sample:
    return Sample(f"film{number:03d}", patient, labels, (Box(label, *box),))


def worked() -> tuple[list[Sample], Array]:
    """Five patients with a Mass in the upper left quarter, the last with two films; four with a Nodule at the lower right."""
    masses = [film(n, f"p{min(n, 4)}", "Mass", (0, 0, 0.5, 0.5), (1, 0, None)) for n in range(6)]
    nodules = [film(n, f"q{n}", "Nodule", (0.5, 0.5, 1, 1), (0, 1, 0)) for n in range(6, 10)]
    maps = np.zeros((10, 3, 4, 4), np.float32)
    for n in range(6):
        maps[n, 1, :2, :2] = [[0.5 + n, 1], [1, 1]]  # unit 1 fills the box of every Mass
    maps[6:, 2, 2, 2] = [3, 5, 4, 4]  # unit 2 fires at one node of the Nodule's four
    return [*masses, *nodules], maps


def test_worked_example() -> None:
    """Unit 1: 6 x 4 nodes active, all in boxes of 4 nodes, so IoU 1; unit 2: 1 of 4 nodes, so IoU 1/4; unit 0 never fires."""
    mass, nodule = named(*worked(), limits=np.array([0.2, 0.2, 0.2]))
    assert (mass.unit, mass.target, mass.iou, mass.cases, mass.patients) == (1, 0, 1.0, 6, 5)
    assert [image.sample for image in mass.images] == ["film005", "film003", "film002", "film001"]  # p4 once, the higher film
    assert [image.value for image in mass.images] == [5.5, 3.5, 2.5, 1.5]
    assert all(image.in_box and image.threshold == 0.2 for image in mass.images)
    assert [(one.target, one.shown, one.of_top, one.shown_by_all, one.of_all) for one in mass.fires] == [
        (0, 5, 5, 6, 10), (1, 0, 5, 4, 10), (2, 0, 0, 0, 4),
    ]  # fmt: skip
    assert (nodule.unit, nodule.target, nodule.iou) == (2, 1, 0.25)
    assert [image.sample for image in nodule.images] == ["film007", "film008", "film009", "film006"]  # of equals the first


def test_unusable_units_and_classes_of_few_patients_are_not_named() -> None:
    samples, maps = worked()
    limits = np.full(3, 0.2)
    assert [one.target for one in named(samples, maps, limits, usable=np.array([True, False, True]))] == [1]
    assert [one.target for one in named(samples[:9], maps[:9], limits)] == [0]
    assert named([], maps[:0], limits) == ()


def test_a_peak_outside_the_box_is_said_and_so_is_an_image_without_one() -> None:
    samples, maps = worked()
    maps[0, 1, 3, 3] = 9
    maps[8, 1, 0, 0] = 8
    (mass, _) = named(samples, maps, np.full(3, 0.2))
    assert [(image.sample, image.in_box) for image in mass.images[:3]] == [
        ("film000", False),
        ("film008", None),
        ("film005", True),
    ]


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_the_stream_finds_what_looking_at_everything_finds(seed: int, films: int, batch: int) -> None:
    random = np.random.default_rng(seed)
    maps = random.integers(0, 6, (films, 5, 3, 3)).astype(np.float32)  # ties everywhere
    samples = []
    for number in range(films):
        left, top = random.integers(0, 2, 2) / 3
        label, patient = CLASSES[random.integers(3)], f"p{random.integers(12)}"
        samples.append(film(number, patient, label, (left, top, left + 2 / 3, top + 1 / 3), (0, 1, 0)))
    limits = random.integers(0, 4, 5).astype(float)
    found = named(samples, maps, limits, batch)
    assert [one[:3] for one in found] == [pytest.approx(one) for one in slow_units(samples, maps, limits)]
    for one in found:
        assert [image.sample for image in one.images] == slow_images(samples, maps, limits, one.unit, SHOWN_IMAGES)
        assert one.tops == len(slow_images(samples, maps, limits, one.unit, COUNTED))


def slow_units(samples: list[Sample], maps: Array, limits: Array) -> list[tuple[int, int, float]]:
    rows = []
    for target, name in enumerate(CLASSES):
        mine = [number for number, sample in enumerate(samples) if sample.boxes[0].label == name]
        for unit in range(5) if len({samples[number].patient for number in mine}) >= 4 else ():
            both = union = 0.0
            for number in mine:
                box, active = coverage(samples[number].boxes, 3, 3), (maps[number, unit] > limits[unit]).ravel()
                both += float(box[active].sum())
                union += float(box.sum() + active.sum() - box[active].sum())
            rows.append((unit, target, both / union))
    kept: list[tuple[int, int, float]] = []
    for row in sorted(rows, key=lambda row: (-np.round(row[2], 9), row[1], row[0])):
        if row[2] > 0 and len(kept) < SHOWN_UNITS and all(row[0] != one[0] and row[1] != one[1] for one in kept):
            kept.append(row)
    return kept


def slow_images(samples: list[Sample], maps: Array, limits: Array, unit: int, count: int) -> list[str]:
    peak = maps[:, unit].max((1, 2))
    kept: list[int] = []
    for number in sorted(range(len(samples)), key=lambda number: (-peak[number], number)):
        if peak[number] > limits[unit] and all(samples[number].patient != samples[one].patient for one in kept):
            kept.append(number)
    return [samples[number].id for number in kept[:count]]


def test_a_conclusion_comes_back_from_json_as_it_was() -> None:
    said = Conclusion(units=named(*worked(), limits=np.full(3, 0.2)))
    assert from_json(json.loads(json.dumps(said, allow_nan=False))) == said
    assert from_json(json.loads("[[], []]")) == Conclusion()


def test_an_audit_keeps_rows_and_pictures_of_the_same_images(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    path = write_audit(analyses="[performance, {use: dissection, quantile: 0.04}]")
    run(path, tmp_path / "run", device="cpu")
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    shown = [picture for picture in load(tmp_path / "run") if picture.kind == KIND]
    assert {row["model"] for row in found["units"]} == {model["id"] for model in found["models"]}
    assert [(row["unit"], image["case"]) for row in found["units"] for image in row["images"]] == [
        (picture.unit, picture.case) for picture in shown
    ]
    for row in found["units"]:
        assert row["images"][0]["value"] > row["images"][0]["threshold"]
        assert len(row["images"]) <= SHOWN_IMAGES
    for picture in shown:
        assert picture.threshold is not None
        assert max(float(raw.max()) for maps in picture.maps.values() for raw in maps.values()) > picture.threshold
    assert "What single channels respond to" in (tmp_path / "run" / "report.html").read_text()


def test_without_images_the_rows_stay_and_no_picture_is_kept(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    path = write_audit(analyses="[{use: dissection, quantile: 0.04}]", report="{formats: [html], images: false}")
    run(path, tmp_path / "run", device="cpu")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["units"]
    assert load(tmp_path / "run") == []
    assert "Pictures were switched off" in (tmp_path / "run" / "report.html").read_text()


def test_the_dissection_names_the_same_units_whatever_the_batch(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    found = []
    for batch in ("4", "8"):
        run(write_audit(analyses="[{use: dissection, quantile: 0.04}]", batch=batch), tmp_path / batch, device="cpu")
        rows = json.loads((tmp_path / batch / "results.json").read_text())["units"]
        found.append([(row["unit"], row["class"], [image["id"] for image in row["images"]], row["fires"]) for row in rows])
    assert found[0]
    assert found[0] == found[1]
