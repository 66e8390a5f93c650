"""Films that are there twice are found, films that only look alike are not, and the reader is told on page one."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from auditor_plugins.sections._copies import copies_table, copies_told
from example import EXAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import duplicates
from auditor.copies import ALIKE, BITS, Copies, find
from auditor.evidence import Evidence
from auditor.fingerprints import Fingerprints, codes, correlations, digest, local_contrast, thumbnail
from auditor.model import Preprocessing
from auditor.pixels import PixelStore
from auditor.run import RunResult, run
from auditor.share.bundle import share
from auditor.verification.levels import climb

sys.path.insert(0, str(Path(__file__).parent / "plugins_for_tests"))
import copied


def prints(*images: Any) -> Fingerprints:
    taken = [(pixels[None].astype(np.float32), thumbnail(pixels[None].astype(np.float32))) for pixels in images]
    return Fingerprints(
        np.arange(len(images)),
        np.stack([np.frombuffer(digest(pixels, small), np.uint8) for pixels, small in taken]),
        np.stack([local_contrast(small) for _, small in taken]),
    )


def films(count: int, split: str = "test") -> list[Any]:
    return [copied.film(split, number) for number in range(100, 100 + count)]


def test_one_value_or_one_row_more_makes_another_digest() -> None:
    pixels = np.zeros((1, 8, 8), np.float32)
    other = pixels.copy()
    other[0, 3, 3] = 1e-7
    small = np.zeros((64, 64), np.uint8)
    assert len({digest(pixels, small), digest(other, small), digest(pixels.reshape(1, 4, 16), small)}) == 3
    assert digest(pixels, small) == digest(pixels.copy(), small)


def test_local_contrast_by_its_definition() -> None:
    """A slow twin: the mean and spread over the 5 x 5 neighbours that lie inside."""
    small = thumbnail(copied.film("test", 0)[None])
    found = local_contrast(small)
    off = np.zeros((64, 64))

    def around(values: Any, row: int, column: int) -> Any:
        return values[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]

    for row, column in np.ndindex(64, 64):
        off[row, column] = small[row, column] - around(small.astype(float), row, column).mean()
    for row, column in np.ndindex(64, 64):
        expected = 25 * off[row, column] / np.sqrt((around(off, row, column) ** 2).mean() + 16)
        assert abs(found[row, column] - expected) <= 0.51


def test_a_flat_image_is_like_no_other_and_equal_to_itself() -> None:
    black = prints(np.zeros((40, 40)), np.zeros((40, 40)), np.zeros((50, 40)), films(1)[0])
    assert (local_contrast(thumbnail(np.full((1, 9, 9), 0.3, np.float32))) == 0).all()
    assert correlations(black.contrast[:1], black.contrast).max() == 0
    assert find(black, None, list("abcd")) == [Copies((0, 1), 1.0)]


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 1), st.floats(0, 1), st.integers(0, 40))
def test_brightness_and_contrast_hide_no_copy(gain: float, share: float, number: int) -> None:
    first = copied.film("test", number)
    again = np.round((first * gain + share * (1 - gain)) * 255) / 255
    found = find(prints(first, again), None, ["a", "b"])
    assert [group.places for group in found] == [(0, 1)]


def test_every_pair_is_found_that_a_slow_twin_finds() -> None:
    """All pairs one by one, and chains of pairs: 0, 3 and 8 are one film, 1 and 9 another, also across the block of training images."""
    audited = films(8)
    audited[3] = copied.saved_again(audited[0])
    training = [copied.saved_again(audited[3]), audited[1], *films(6, "train")]
    mine, theirs = prints(*audited), prints(*training)
    everything = [*audited, *training]
    patients = [f"p{n}" for n in range(len(everything))]
    contrast = np.concatenate([mine.contrast, theirs.contrast]).astype(float)

    def alike(one: int, other: int) -> float:
        return float(np.corrcoef(contrast[one].ravel(), contrast[other].ravel())[0, 1])

    pairs = {(a, b) for a, b in combinations(range(len(everything)), 2) if a < 8 and alike(a, b) >= ALIKE}
    assert pairs == {(0, 3), (0, 8), (3, 8), (1, 9)}
    found = find(mine, theirs, patients)
    assert {group.places for group in found} == {(0, 3, 8), (1, 9)}
    assert found[0].alike == pytest.approx(min(alike(0, 3), alike(0, 8), alike(3, 8)), abs=1e-5)
    assert found[1].alike == 1


def test_films_of_one_patient_are_copies_only_where_they_are_equal() -> None:
    first, second = films(2)
    images = prints(first, copied.saved_again(first), second, second)
    assert [group.places for group in find(images, None, ["a", "a", "b", "b"])] == [(2, 3)]
    assert [group.places for group in find(images, None, ["a", "c", "b", "b"])] == [(0, 1), (2, 3)]


def test_copies_among_training_images_alone_are_left_alone() -> None:
    one, other = films(2)
    assert find(prints(one), prints(other, other), ["a", "b", "c"]) == []


def test_more_images_than_a_block_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [*films(30)]
    images += [copied.saved_again(images[0]), images[7]]
    expected = find(prints(*images), None, [str(n) for n in range(32)])
    monkeypatch.setattr("auditor.copies.ROWS", 3)
    monkeypatch.setattr("auditor.copies.COLUMNS", 5)
    assert find(prints(*images), None, [str(n) for n in range(32)]) == expected
    assert {group.places for group in expected} == {(0, 30), (7, 31)}


def test_radiographs_are_told_apart_and_known_again(shared_data: Path) -> None:
    """docs/methods.md A.21 has the numbers over all 1,677 films; here every fifth."""
    from PIL import Image

    files = sorted((shared_data / "chestxray14-sample" / "images").glob("*.png"))[::5]
    pixels = [np.asarray(Image.open(file).convert("L"), np.float32) / 255 for file in files]
    patients = [file.name.split("_")[0] for file in files]
    images = prints(*pixels)
    assert find(images, None, patients) == []
    alike = correlations(images.contrast, images.contrast)
    other = np.array(patients)[:, None] != np.array(patients)
    assert alike[other].max() < 0.6
    again = prints(*(copied.saved_again(one, 128) for one in pixels[:40]))
    same, apart = (
        np.diag(correlations(again.contrast, images.contrast[:40])), np.bitwise_count(codes(again.contrast) ^ codes(images.contrast[:40])).sum(1),
    )  # fmt: skip
    assert ((same >= ALIKE) & (apart <= BITS)).mean() >= 0.95


def written(folder: Path, dataset: str = "{use: copied}") -> Path:
    lens = "preprocessing: {size: 32, mean: [0, 0, 0], std: [1, 1, 1]}"
    models = "".join(f"  - {{use: tiny_network, strategy: s{n}, weights: {n}, {lens}}}\n" for n in (1, 2))
    path = folder / "audit.yaml"
    path.write_text(
        f"title: Copies\ndataset: {dataset}\ntraining_images: {{split: train}}\nmodels:\n{models}reference: s1\nattributions: []\n"
        f"analyses: [performance, logit_shift]\nreport: {{formats: [html], images: false}}\ncontrols: false\n"
        f"plugins: ['{copied.__file__}', '{Path(copied.__file__).with_name('tiny.py')}']\n"
    )
    return path


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("copied")
    return folder / "out", run(written(folder), folder / "out", device="cpu")


def results(out: Path) -> Any:
    return json.loads((out / "results.json").read_text())


def test_an_audit_finds_what_is_planted_tells_it_and_keeps_it(audited: tuple[Path, RunResult]) -> None:
    out, ended = audited
    told = results(out)
    found = told["accounting"]["copies"]
    assert found["compared"] == {"audited": 24, "training": 24}
    assert found["counts"] == {
        "training": {"groups": 2, "exact": 1, "near": 1, "patients": 1},
        "patients": {"groups": 3, "exact": 2, "near": 4, "patients": 4},
        "nothing": {"groups": 1, "exact": 2, "near": 0, "patients": 1},
    }
    assert [(group["crosses"], [image["id"] for image in group["images"]]) for group in found["groups"]] == [
        ("training", ["test-010", "train-003"]), ("training", ["test-011", "train-005"]), ("patients", ["test-000", "test-004"]),
        ("patients", ["test-001", "test-009"]), ("patients", ["test-002", "test-008"]), ("nothing", ["test-006", "test-007"]),
    ]  # fmt: skip
    said = {kind: [f["text"] for f in told["findings"] if f["kind"] == kind] for kind in ("alarm", "caution", "note")}
    alarm = (
        "Audited images of which there is a copy among the training images: 2 of 24, 1 of them pixel for pixel. What is measured on "
        "them is memory."
    )
    assert said["alarm"] == [alarm]
    assert alarm in ended.messages
    assert said["caution"][0] == (
        "Audited images of which there is a copy under another patient: 6 of 24, 2 of them pixel for pixel. A film is under a wrong "
        "name, or one person counts as several and intervals are too narrow."
    )
    assert any("a copy under the same patient: 2 of 24, 2 of them pixel for pixel." in text for text in said["note"])
    html = (out / "report.html").read_text()
    assert "test-000 (patient-0), test-004 (patient-2)" in html
    assert [level.differences for level in climb(out, 2, None, None, None, 1, 0)] == [[]]
    first = (out / "results.json").read_bytes()
    run(out.parent / "audit.yaml", out, device="cpu")
    assert (out / "results.json").read_bytes() == first


def test_a_copy_that_is_shared_names_nobody_and_counts_no_few(audited: tuple[Path, RunResult]) -> None:
    out, _ = audited
    told = share(out).evidence.accounting["copies"]
    assert told["counts"]["patients"] == {"groups": None, "exact": None, "near": None, "patients": None}
    assert told["groups"] == []
    html = (out / "share" / "report.html").read_text()
    assert "a copy under another patient: some, too few to be shared." in html
    assert "test-00" not in html


def test_clean_images_give_no_copy_and_no_sentence(tmp_path: Path) -> None:
    ended = run(written(tmp_path, "{use: copied, clean: true}"), tmp_path / "out", device="cpu")
    told = results(tmp_path / "out")
    assert (ended.exit_code, told["accounting"]["copies"]["groups"]) == (0, [])
    assert told["accounting"]["training_images"]["audited_too"] == 0
    assert not any("there is a copy" in finding["text"] for finding in told["findings"])
    assert "No copies were found." in (tmp_path / "out" / "report.html").read_text()


def test_what_was_not_compared_finds_nothing() -> None:
    assert duplicates.findings({"copies": {"missing": duplicates.OLDER}}) == duplicates.findings({}) == []


@pytest.mark.parametrize(("exact", "kind"), [(0, "caution"), (1, "alarm"), (None, "alarm")])
def test_what_only_looks_like_a_training_image_is_no_alarm(exact: int | None, kind: str) -> None:
    none = {"groups": 0, "exact": 0, "near": 0, "patients": 0}
    counts = {
        "training": {"groups": 1, "exact": exact, "near": None if exact is None else 2, "patients": 9},
        "patients": none,
        "nothing": none,
    }
    (found,) = duplicates.findings({"copies": {"compared": {"audited": 24}, "counts": counts}})
    assert found.kind == kind


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, "Not looked for: this run was made by a version of auditor that did not ask."),
        ({"missing": duplicates.NO_NETWORK}, "Not looked for: all networks are tables of scores, so no image was read."),
        ({"missing": duplicates.OLDER}, "run again with --fresh."),
    ],
)
def test_the_section_says_why_nothing_was_compared(told: Any, says: str) -> None:
    evidence = Evidence.from_json(EXAMPLE.read_text())
    accounting = {name: value for name, value in evidence.accounting.items() if name != "copies"}
    bare = replace(evidence, accounting=accounting if told is None else {**accounting, "copies": told})
    (sentence,) = copies_told(bare)
    assert sentence.endswith(says)
    assert copies_table(bare) is None
    assert copies_told(evidence)[1] == "No copies were found."


def test_chunks_of_another_size_are_not_taken_for_those_that_were_kept(tmp_path: Path) -> None:
    """Found here: after a change of `batch` the last images of a run folder were left out in silence."""
    data = copied.Copied(images=14)
    lens = Preprocessing(size=8)
    for chunk in (4, 6):
        store = PixelStore(tmp_path, data, data.index(), chunk)
        seen = [int(row) for number in range(-(-14 // chunk)) for row in store.get(lens, number).rows]
        found = store.fingerprints()
        store.close()
        assert seen == list(range(14)) == (found.rows.tolist() if found else None)
