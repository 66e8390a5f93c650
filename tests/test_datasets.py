"""Data sets of files: the tables are read as they were published, nothing is dropped in silence, mistakes are told by line."""

from __future__ import annotations

import gzip
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from auditor_plugins.datasets.chestxray14 import ChestXray14
from auditor_plugins.datasets.dicom_folder import DicomFolder
from auditor_plugins.datasets.image_folder import ImageFolder
from PIL import Image

from auditor import ConfigError, DatasetError, Unreadable
from auditor.boxes import pixel_edges

HEADER_2020 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
HEADER_2017 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
ROWS = [
    "00000001_000.png,Cardiomegaly|Emphysema,0,1,58,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,No Finding,1,1,58,M,PA,2682,2749,0.143,0.143",
    "00000007_000.png,Infiltration,0,7,82,F,AP,2500,2048,0.168,0.168",
]

Root = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A folder as the NIH's, small; any of its files can be given other content, None leaves it out."""

    def made(**changes: str | None) -> Path:
        files: dict[str, str | None] = {
            "entries": "\n".join([HEADER_2020, *ROWS]),
            "boxes": f"{BOX_HEADER}\n00000001_000.png,Cardiomegaly,512,256,128,64\n00000007_000.png,Infiltrate,0,0,1024,512",
            "test": "00000001_000.png\n00000001_001.png\n",
            "train_val": "00000007_000.png\n",
            **changes,
        }
        names = ("Data_Entry_2017_v2020.csv", "BBox_List_2017.csv", "test_list.txt", "train_val_list.txt")
        for content, name in zip(files.values(), names, strict=True):
            if content is not None:
                (tmp_path / name).write_text(content)
        (tmp_path / "images").mkdir(exist_ok=True)
        for row in ROWS:
            if not (tmp_path / "images" / row.split(",")[0]).exists():
                Image.new("L", (8, 8), 51).save(tmp_path / "images" / row.split(",")[0])
        return tmp_path

    return made


def mistake(make: Callable[[], Any]) -> str:
    with pytest.raises(DatasetError) as caught:
        make()
    return str(caught.value)


# ChestX-ray14


def test_labels_patients_splits_and_boxes_are_those_of_the_tables(root: Root) -> None:
    data = ChestXray14(root(), split="all")
    first, second, third = data.index()
    names = data.classes()
    assert len(names) == 14
    assert [name for name, label in zip(names, first.labels, strict=True) if label] == ["Cardiomegaly", "Emphysema"]
    assert set(second.labels) == {0}
    assert [name for name, label in zip(names, third.labels, strict=True) if label] == ["Infiltration"]
    assert (first.id, first.patient, first.split, third.split) == ("00000001_000.png", "1", "test", "train_val")
    assert first.metadata == {"age": "58", "sex": "M", "view": "PA"}
    (box,) = first.boxes
    assert (box.label, box.left, box.top, box.right, box.bottom) == ("Cardiomegaly", 0.5, 0.25, 0.625, 0.3125)
    assert [(box.label, box.right, box.bottom) for box in third.boxes] == [("Infiltration", 1.0, 0.5)]
    np.testing.assert_allclose(data.read(first), 0.2, rtol=1e-6)


def test_a_split_is_the_official_list(root: Root) -> None:
    folder = root()
    assert [sample.id for sample in ChestXray14(folder).index()] == ["00000001_000.png", "00000001_001.png"]
    for split in ("train", "train_val"):
        assert [sample.id for sample in ChestXray14(folder, split=split).index()] == ["00000007_000.png"]  # type: ignore[arg-type]


def test_healthy_against_not(root: Root) -> None:
    data = ChestXray14(root(), split="all", task="binary")
    assert data.classes() == ("Unhealthy",)
    assert [sample.labels for sample in data.index()] == [(1,), (0,), (1,)]
    assert {box.label for sample in data.index() for box in sample.boxes} == {"Unhealthy"}
    assert data.train_counts() == (1, {"Unhealthy": 1})


def test_no_finding_can_be_a_class_of_its_own(root: Root) -> None:
    data = ChestXray14(root(), split="all", no_finding=True)
    assert data.classes()[14] == "No Finding"
    assert [sample.labels[14] for sample in data.index()] == [0, 1, 0]
    with pytest.raises(ConfigError, match="no_finding"):
        ChestXray14(root(), task="binary", no_finding=True).classes()


@pytest.mark.parametrize("trailing", ["", ","])
@pytest.mark.parametrize("age", ["58", "058Y"])
@pytest.mark.parametrize("header", [HEADER_2020, HEADER_2017, HEADER_2020.replace("Gender", "Sex"), HEADER_2017 + ",,"])
def test_every_generation_of_the_table_reads_the_same(root: Root, header: str, age: str, trailing: str) -> None:
    expected = ChestXray14(root(), split="all").index()
    rows = [row.replace(",58,", f",{age},") + trailing for row in ROWS]
    folder = root(entries=None)
    (folder / "Data_Entry_2017_v2020.csv").unlink()
    (folder / "Data_Entry_2017.csv").write_bytes("\r\n".join(["\ufeff" + header, *rows, "", ""]).encode())
    found = ChestXray14(folder, split="all").index()
    assert found == expected
    assert [sample.metadata for sample in found] == [sample.metadata for sample in expected]


@pytest.mark.parametrize(
    "header", [BOX_HEADER, "Image Index,Finding Label,Bbox [x,y,w,h]", 'Image Index,Finding Label,"Bbox [x,y,w,h]"']
)
@pytest.mark.parametrize("trailing", ["", ",,,"])
def test_every_header_of_the_boxes_reads_the_same(root: Root, header: str, trailing: str) -> None:
    expected = ChestXray14(root(), split="all").index()
    rows = [f"00000001_000.png,Cardiomegaly,512,256,128,64{trailing}", f"00000007_000.png,Infiltrate,0,0,1024,512{trailing}"]
    assert ChestXray14(root(boxes="\n".join([header, *rows])), split="all").index() == expected


def test_tables_may_be_gzipped(root: Root) -> None:
    folder = root()
    expected = ChestXray14(folder, split="all").index()
    for path in [*folder.glob("*.csv"), *folder.glob("*.txt")]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert ChestXray14(folder, split="all").index() == expected


@pytest.mark.parametrize(
    "places", [["images"], ["images_001/images", "images_012/images"], ["images_001", "images_002"], ["."]]
)
def test_images_are_found_in_every_layout(root: Root, places: list[str]) -> None:
    folder = root()
    shutil.move(folder / "images", folder / "kept")
    for number, path in enumerate(sorted((folder / "kept").iterdir())):
        place = folder / places[number % len(places)]
        place.mkdir(parents=True, exist_ok=True)
        shutil.move(path, place / path.name)
    data = ChestXray14(folder, split="all")
    samples = data.index()
    assert [sample.problem for sample in samples] == [None] * 3
    assert [data.read(sample).shape for sample in samples] == [(1, 8, 8)] * 3


def test_a_partial_copy_lists_everything_and_says_what_is_missing(root: Root) -> None:
    folder = root()
    (folder / "images" / "00000001_001.png").unlink()
    (folder / "images" / "00000007_000.png").unlink()
    (folder / "images" / "00000007_000.png").symlink_to("nowhere.png")
    data = ChestXray14(folder, split="all")
    assert [sample.problem for sample in data.index()] == [None, "missing", "missing"]
    with pytest.raises(Unreadable) as caught:
        data.read(data.index()[1])
    assert caught.value.reason == "missing"


def test_a_changed_file_has_another_version(root: Root) -> None:
    folder = root()
    before = ChestXray14(folder).index()[0].version
    Image.effect_noise((8, 8), 50).save(folder / "images" / "00000001_000.png")
    assert ChestXray14(folder).index()[0].version != before


def test_listing_opens_no_image(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root()
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("an image was opened"))
    ChestXray14(folder, split="all").index()


def test_an_image_that_is_a_link_to_elsewhere_is_not_followed(root: Root, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, elsewhere = root(), tmp_path_factory.mktemp("elsewhere")
    shutil.move(folder / "images" / "00000001_000.png", elsewhere / "x.png")
    (folder / "images" / "00000001_000.png").symlink_to(elsewhere / "x.png")
    data = ChestXray14(folder)
    with pytest.raises(Unreadable) as caught:
        data.read(data.index()[0])
    assert caught.value.reason == "path:link"


def test_the_folder_of_images_itself_may_be_a_link(root: Root, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, elsewhere = root(), tmp_path_factory.mktemp("disk")
    shutil.move(folder / "images", elsewhere / "images")
    (folder / "images").symlink_to(elsewhere / "images")
    data = ChestXray14(folder)
    assert data.read(data.index()[0]).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({"entries": None}, {}, "no Data_Entry_2017_v2020.csv or Data_Entry_2017.csv here"),
        ({"test": None}, {}, "split test needs the NIH's test_list.txt"),
        ({"train_val": None}, {"split": "train"}, "split train needs the NIH's train_val_list.txt"),
        ({"entries": "Image Index,Finding Label,Patient ID\n"}, {}, "v2020.csv:1: no column 'Finding Labels'; there is Image Index, Finding Label, Patient ID; did you mean Finding Label?"),
        ({"entries": f"{HEADER_2020}\nx.png,Mass\n"}, {}, "v2020.csv:2: 2 fields; at least 7 are expected"),
        ({"entries": f"{HEADER_2020}\n{ROWS[0]}\nx.png,Infiltraton,0,1,5,M,PA,1,1,1,1"}, {}, "v2020.csv:3: unknown finding 'Infiltraton'; did you mean Infiltration?"),
        ({"entries": "\n".join([HEADER_2020, *ROWS, ROWS[1]])}, {}, "v2020.csv:5: 00000001_001.png is listed a second time"),
        ({"test": "00000001_000.png\nx.png\n"}, {}, "1 image of the official lists without a row in Data_Entry_2017_v2020.csv, the first is 'x.png'"),
        ({"train_val": "\n00000001_001.png\n"}, {}, "train_val_list.txt:2: 00000001_001.png is in test_list.txt too"),
        ({"entries": f"{HEADER_2020}\nx.png,Mass,0,,5,M,PA,1,1,1,1"}, {}, "v2020.csv:2: the image or its patient is not named"),
        ({"boxes": "a,b,c\n"}, {}, "BBox_List_2017.csv:1: the columns should begin Image Index, Finding Label"),
        ({"boxes": f"{BOX_HEADER}\n00000001_000.png,Mass,1,2,3"}, {}, "BBox_List_2017.csv:2: 5 fields"),
        ({"boxes": f"{BOX_HEADER}\n00000001_000.png,Mas,1,2,3,4"}, {}, "BBox_List_2017.csv:2: unknown finding 'Mas'; did you mean Mass?"),
        ({"boxes": f"{BOX_HEADER}\n00000001_000.png,Mass,1,2,3,wide"}, {}, "BBox_List_2017.csv:2: 'wide' is not a number"),
        ({"boxes": f"{BOX_HEADER}\nx.png,Mass,1,2,3,4"}, {}, "1 image of BBox_List_2017.csv without a row"),
        ({}, {"boxes": "nih+chestxdet"}, "boxes nih+chestxdet needs chestxdet_boxes.csv"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_meant_is_refused(
    root: Root, changes: dict[str, str | None], options: Any, expected: str
) -> None:
    assert expected in mistake(lambda: ChestXray14(root(**changes), **options).index())


def test_without_lists_all_images_can_be_had_and_no_train_counts(root: Root) -> None:
    data = ChestXray14(root(test=None, train_val=None, boxes=None), split="all")
    assert [sample.split for sample in data.index()] == ["", "", ""]
    assert data.train_counts() is None
    assert any("BBox_List_2017.csv is not in the folder" in note for note in data.notes())


# ChestX-ray14, the real tables


@pytest.fixture(scope="module")
def nih(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The complete tables under the names that the NIH gives them; no images."""
    folder = tmp_path_factory.mktemp("nih")
    for name in ("Data_Entry_2017_v2020.csv.gz", "BBox_List_2017.csv.gz"):
        (folder / name).symlink_to(shared_data / "nih-tables" / name)
    (folder / "test_list.txt.gz").symlink_to(shared_data / "nih-tables" / "nih_official_test_list.txt.gz")
    return folder


def test_the_complete_tables_have_the_published_counts(nih: Path) -> None:
    samples = ChestXray14(nih, split="all").index()
    assert len(samples) == 112_120
    assert len({sample.patient for sample in samples}) == 30_805
    boxed = [sample for sample in samples if sample.boxes]
    assert (sum(len(sample.boxes) for sample in boxed), len(boxed)) == (984, 880)
    assert len({sample.patient for sample in boxed}) == 726
    assert sum(len({box.label for box in sample.boxes}) > 1 for sample in boxed) == 93
    assert {sample.split for sample in boxed} == {"test"}
    assert {sample.problem for sample in samples} == {"missing"}


def test_the_official_test_list_has_the_published_counts(nih: Path) -> None:
    samples = ChestXray14(nih).index()
    assert (len(samples), len({sample.patient for sample in samples})) == (25_596, 2_797)


def test_the_notes_say_what_a_reader_must_know(nih: Path) -> None:
    notes = " ".join(ChestXray14(nih).notes())
    assert "mined from radiology reports" in notes
    assert "1024 x 1024" in notes
    assert "984 boxes on 880 images, of which 880 in the official test list and 0 in train_val" in notes


def test_a_published_box_covers_the_published_pixels(nih: Path) -> None:
    """docs/methods.md T-A7: at 224 px [49.237288, 119.660454, 68.220339, 136.982488]; whole pixels [49, 119, 69, 137], truncated 68, 136."""
    (sample,) = [sample for sample in ChestXray14(nih).index() if sample.id == "00013118_008.png"]
    (box,) = sample.boxes
    edges = [edge * 224 for edge in (box.left, box.top, box.right, box.bottom)]
    np.testing.assert_allclose(edges, [49.237288, 119.660454, 68.220339, 136.982488], atol=1e-6)
    assert pixel_edges(box, 224, 224) == (49, 119, 69, 137)
    assert pixel_edges(box, 224, 224, "trunc") == (49, 119, 68, 136)


def test_the_sample_has_the_published_label_counts(shared_data: Path) -> None:
    data = ChestXray14(shared_data / "chestxray14-sample", split="all", no_finding=True)
    samples = data.index()
    counts = {name: sum(sample.labels[k] or 0 for sample in samples) for k, name in enumerate(data.classes())}
    assert len(samples) == 1677
    assert counts == {
        "No Finding": 767, "Infiltration": 302, "Pneumonia": 285, "Atelectasis": 231, "Effusion": 231, "Cardiomegaly": 143,
        "Nodule": 130, "Mass": 108, "Pneumothorax": 106, "Consolidation": 87, "Edema": 79, "Pleural_Thickening": 74,
        "Fibrosis": 47, "Emphysema": 45, "Hernia": 6,
    }  # fmt: skip
    assert Counter(sample.split for sample in samples) == {"test": 595, "train_val": 1082}
    assert sum(len(sample.boxes) for sample in samples) == 481
    assert {sample.problem for sample in samples} == {None}
    assert data.read(samples[0]).shape == (1, 256, 256)


def test_train_counts_are_the_positives_of_the_official_training_list(shared_data: Path) -> None:
    folder = shared_data / "chestxray14-sample"
    data = ChestXray14(folder, split="train")
    samples = data.index()
    total = {name: sum(sample.labels[k] or 0 for sample in samples) for k, name in enumerate(data.classes())}
    assert ChestXray14(folder).train_counts() == (1082, total)
    assert total["Hernia"] == 5


def test_more_boxes_can_be_had_and_those_without_a_label_are_counted(shared_data: Path) -> None:
    data = ChestXray14(shared_data / "chestxray14-sample", split="all", boxes="nih+chestxdet")
    boxes = [box for sample in data.index() for box in sample.boxes]
    assert len(boxes) == 481 + 279 - 24
    assert {box.label for box in boxes} <= set(data.classes())
    assert any("24 boxes of ChestX-Det were left out" in note for note in data.notes())


# image_folder and dicom_folder

TABLE = """image,patient,split,sex,Mass,Edema
007.png,0042,test,F,1,0
a/b.png,0042,test,M,0,-1
c.png,0043,train,F,1,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    for name, size in (("007.png", (200, 100)), ("a/b.png", (10, 10)), ("c.png", (50, 40))):
        Image.new("L", size, 102).save(tmp_path / name)
    return tmp_path


def table(folder: Path, text: str = TABLE, name: str = "table.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_table_and_a_folder_make_a_data_set(folder: Path) -> None:
    data = ImageFolder(table(folder), folder)
    assert data.classes() == ("Mass", "Edema")
    samples = data.index()
    assert [(s.id, s.patient, s.split, s.labels) for s in samples] == [
        ("007.png", "0042", "test", (1, 0)),
        ("a/b.png", "0042", "test", (0, None)),
        ("c.png", "0043", "train", (1, None)),
    ]
    assert [data.read(s).shape for s in samples] == [(1, 100, 200), (1, 10, 10), (1, 40, 50)]
    assert [s.id for s in ImageFolder(table(folder), folder, split="train").index()] == ["c.png"]
    assert data.train_counts() == (1, {"Mass": 1, "Edema": 0})
    notes = " ".join(data.notes())
    assert "columns of 0 and 1: Mass, Edema" in notes
    assert "2 labels are unknown" in notes


@pytest.mark.parametrize(
    "encode",
    [
        lambda t: t.encode("utf-8-sig"),
        lambda t: t.replace("\n", "\r\n").encode(),
        lambda t: t.replace(",1", ",1.0").replace(",0", ",0.0").replace(",-1", ",-1.0").encode(),
    ],
)
def test_the_way_a_table_was_saved_changes_no_label(folder: Path, encode: Callable[[str], bytes]) -> None:
    expected = [(s.labels, s.split) for s in ImageFolder(table(folder), folder).index()]
    (folder / "other.csv").write_bytes(encode(TABLE.replace("0042", "p").replace("0043", "q").replace("007", "x")))
    assert [(s.labels, s.split) for s in ImageFolder(folder / "other.csv", folder).index()] == expected


def test_a_gzipped_table_is_the_same_table(folder: Path) -> None:
    expected = ImageFolder(table(folder), folder).index()
    (folder / "table.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    assert ImageFolder(folder / "table.csv.gz", folder).index() == expected


def test_classes_can_be_chosen_and_ordered(folder: Path) -> None:
    data = ImageFolder(table(folder), folder, class_names=("Edema", "Mass"))
    assert data.classes() == ("Edema", "Mass")
    assert [s.labels for s in data.index()] == [(0, 1), (None, 0), (None, 1)]
    only = ImageFolder(table(folder), folder, class_names=("Edema",))
    assert any("2 labels 'Mass' are not among the classes" in note for note in only.notes())


def test_labels_can_be_names_in_one_column(folder: Path) -> None:
    text = "image,patient,findings\n007.png,1,Mass|Edema\na/b.png,1,No Finding\nc.png,2,\n"
    data = ImageFolder(table(folder, text), folder, label_column="findings")
    assert data.classes() == ("Edema", "Mass")
    assert [s.labels for s in data.index()] == [(1, 1), (0, 0), (None, None)]
    some = ImageFolder(table(folder, text), folder, label_column="findings", class_names=("Mass", "No Finding"))
    assert [s.labels for s in some.index()] == [(1, 0), (0, 1), (None, None)]
    assert any("1 labels 'Edema'" in note for note in some.notes())
    wrong = ImageFolder(table(folder, text), folder, label_column="findings", class_names=("Mas",))
    assert "no row is labelled 'Mas'; did you mean Mass?" in mistake(wrong.index)


def test_without_patients_every_image_is_one_and_the_notes_say_so(folder: Path) -> None:
    text = "image,Mass\n007.png,1\nc.png,0\n"
    data = ImageFolder(table(folder, text), folder)
    assert [s.patient for s in data.index()] == ["007.png", "c.png"]
    assert any("patient of its own" in note for note in data.notes())
    likely = ImageFolder(table(folder, text.replace("image,", "image,patient_id,").replace("g,", "g,9,")), folder)
    assert "no column 'patient'; name the one to use, or say" in mistake(likely.index)
    assert mistake(likely.index).endswith("; did you mean patient_id?")
    meant = ImageFolder(likely.table, folder, patient_column="", class_names=("Mass",))
    assert [s.patient for s in meant.index()] == ["007.png", "c.png"]


def test_without_a_folder_there_are_labels_and_no_pixels(folder: Path) -> None:
    data = ImageFolder(table(folder))
    samples = data.index()
    assert [s.problem for s in samples] == ["missing"] * 3
    assert samples[0].labels == (1, 0)
    with pytest.raises(Unreadable) as caught:
        data.read(samples[0])
    assert caught.value.reason == "missing"


def test_boxes_are_in_pixels_of_each_file(folder: Path) -> None:
    boxes = table(folder, "image,label,x,y,width,height\n007.png,Mass,50,10,100,50\nc.png,Mass,0,0,50,20\n", "boxes.csv")
    first, second, third = ImageFolder(table(folder), folder, boxes).index()
    assert [(b.left, b.top, b.right, b.bottom) for b in first.boxes] == [(0.25, 0.1, 0.75, 0.6)]
    assert second.boxes == ()
    assert [(b.label, b.left, b.top, b.right, b.bottom) for b in third.boxes] == [("Mass", 0, 0, 1, 0.5)]


def test_only_images_with_boxes_are_opened_for_their_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = table(folder, "image,label,x,y,width,height\n007.png,Mass,50,10,100,50\n", "boxes.csv")
    seen: list[str] = []
    real = ImageFolder.size_of
    monkeypatch.setattr(ImageFolder, "size_of", lambda self, path: (seen.append(path.name), real(self, path))[1])
    ImageFolder(table(folder), folder, boxes).index()
    ImageFolder(table(folder), folder, boxes, split="train").index()
    assert seen == ["007.png"]


def test_boxes_of_what_is_no_class_are_left_out_and_counted(folder: Path) -> None:
    boxes = table(folder, "image,label,x,y,width,height\n007.png,Edema,50,10,100,50\n", "boxes.csv")
    data = ImageFolder(table(folder), folder, boxes, class_names=("Mass",))
    assert data.index()[0].boxes == ()
    assert any("1 boxes of 'Edema'" in note for note in data.notes())


def test_a_file_that_cannot_be_used_is_listed_with_its_problem(folder: Path) -> None:
    (folder / "c.png").write_bytes(b"<html>")
    text = TABLE + "../x.png,1,test,F,0,0\n/etc/passwd,1,test,F,0,0\nabsent.png,1,test,F,0,0\n"
    boxes = table(folder, "image,label,x,y,width,height\nc.png,Mass,0,0,5,5\nabsent.png,Mass,0,0,5,5\n", "boxes.csv")
    data = ImageFolder(table(folder, text), folder, boxes)
    problems = {s.id: s.problem for s in data.index()}
    assert problems == {
        "007.png": None, "a/b.png": None, "c.png": "not-an-image", "../x.png": "path:parent", "/etc/passwd": "path:absolute",
        "absent.png": "missing",
    }  # fmt: skip
    for sample in data.index():
        if sample.problem:
            with pytest.raises(Unreadable) as caught:
                data.read(sample)
            assert caught.value.reason == sample.problem


def test_colour_is_read_only_when_it_is_meant(folder: Path) -> None:
    Image.new("RGB", (4, 4), (255, 0, 0)).save(folder / "c.png")
    grey, colour = ImageFolder(table(folder), folder), ImageFolder(table(folder), folder, colour=True)
    assert colour.read(colour.index()[2]).shape == (3, 4, 4)
    assert colour.read(colour.index()[0]).shape == (1, 100, 200)
    with pytest.raises(Unreadable) as caught:
        grey.read(grey.index()[2])
    assert caught.value.reason == "mode:colour"


BOXES = "image,label,x,y,width,height\n"


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("", {}, "table.csv: the table is empty"),
        ("image,Mass,Mass\nx,1,1\n", {}, "table.csv:1: the column 'Mass' is there more than once"),
        ("image,Mass\nx,1\ny,1,0\n", {}, "table.csv:3: 3 fields under 2 columns"),
        ("image,Mass\nx,1\n\ny,0\nx,1\n", {}, "table.csv:5: 'x' is listed a second time, first in line 2"),
        ('image,Mass\n"x\ny",1\nz,1\nz,1\n', {}, "table.csv:5: 'z' is listed a second time, first in line 4"),
        ('image,Mass\nx,"1\n', {}, "table.csv:2: unexpected end of data"),
        ("images,Mass\nx,1\n", {}, "table.csv:1: image_column: no column 'image'; there is images, Mass; did you mean images?"),
        ("image,patient,Mass\nx,1,1\ny,,1\n", {}, "table.csv:3: the patient is not named"),
        ("image,patient,Mass\nx,1,1\n", {"patient_column": "person"}, "patient_column: no column 'person'"),
        ("image,Mass\nx,1\n,0\n", {}, "table.csv:3: the image is not named"),
        ("image,Mass\nx,2\n", {}, "no column holds only 0, 1, -1 or nothing"),
        ("image,Mass\nx,1\ny,2\n", {"class_names": ("Mass",)}, "table.csv:3: Mass is '2'; 1, 0, and -1 or nothing"),
        ("image,Mass\nx,1\n", {"class_names": ("Mas",)}, "table.csv:1: class_names: no column 'Mas'; there is image, Mass; did you mean Mass?"),
        (TABLE, {"split": "tset"}, "split: no row of 'tset'; there is test, train; did you mean test?"),
        ("image,Mass\nx,1\n", {"split": "test"}, "split_column: no column 'split'"),
        ("image,f\nx,No Finding|Mass\n", {"label_column": "f"}, "table.csv:2: 'No Finding|Mass' says No Finding and a finding"),
        ("image,f\nx,No Finding\n", {"label_column": "f"}, "f names no finding; say class_names"),
        (TABLE, {"boxes": BOXES + "x.png,Mass,1,1,1,1\n"}, "boxes.csv:2: 'x.png' has no row in table.csv"),
        (TABLE, {"boxes": BOXES + "c.png,Mas,1,1,1,1\n"}, "boxes.csv:2: unknown label 'Mas'; did you mean Mass?"),
        (TABLE, {"boxes": BOXES + "c.png,Mass,1,one,1,1\n"}, "boxes.csv:2: 'one' is not a number"),
        (TABLE, {"boxes": "image,label,x,y,w,h\n"}, "boxes.csv:1: no column 'width'"),
        (TABLE, {"boxes": BOXES, "folder": None}, "boxes: they are in pixels of the files, so folder must say where"),
    ],
)  # fmt: skip
def test_a_table_with_a_mistake_is_refused_by_file_and_line(
    folder: Path, text: str, options: dict[str, Any], expected: str
) -> None:
    if "boxes" in options:
        options = {**options, "boxes": table(folder, options["boxes"], "boxes.csv")}
    assert expected in mistake(ImageFolder(table(folder, text), **{"folder": folder, **options}).index)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("absent.csv", None, "absent.csv: cannot be read"),
        ("latin.csv", b"image,Mass\nx,1\n\xe9,1\n", "latin.csv:3: not UTF-8 text"),
        ("torn.csv.gz", gzip.compress(TABLE.encode())[:-12], "torn.csv.gz: cannot be read"),
        ("plain.csv.gz", TABLE.encode(), "plain.csv.gz: cannot be read"),
        ("wide.csv", b"image,Mass\n" + b"x" * 200_000 + b",1\n", "wide.csv:2: field larger than field limit"),
    ],
)
def test_a_file_that_is_no_table_is_refused(folder: Path, name: str, content: bytes | None, expected: str) -> None:
    if content is not None:
        (folder / name).write_bytes(content)
    assert expected in mistake(ImageFolder(folder / name, folder).index)


def test_a_gzip_bomb_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor_plugins.datasets import tables

    monkeypatch.setattr(tables, "MAX_TABLE_BYTES", 2**20)
    (folder / "bomb.csv.gz").write_bytes(gzip.compress(b"image\n" + b"x\n" * 2**20))
    assert "more than 1,048,576 bytes" in mistake(ImageFolder(folder / "bomb.csv.gz", folder).index)


def test_dicom_files_are_read_with_boxes_in_their_own_pixels(shared_data: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (shared_data / "dicom").glob("*.dcm"))
    text = "image,patient,Nodule\n" + "".join(f"{Path(name).stem},{k},1\n" for k, name in enumerate(names))
    boxes = table(tmp_path, f"{BOXES}{Path(names[0]).stem},Nodule,184.1,195.5,368.2,391\n", "boxes.csv")
    data = DicomFolder(table(tmp_path, text), shared_data / "dicom", boxes, suffix=".dcm")
    samples = data.index()
    assert [s.problem for s in samples] == [None] * 3
    (box,) = samples[0].boxes
    np.testing.assert_allclose([box.left, box.top, box.right, box.bottom], [0.1, 0.1, 0.3, 0.3], rtol=1e-9)
    assert data.read(samples[2]).shape == (1, 1024, 1024)


def test_a_folder_of_dicom_refuses_a_picture(folder: Path) -> None:
    data = DicomFolder(table(folder), folder)
    with pytest.raises(Unreadable) as caught:
        data.read(data.index()[0])
    assert caught.value.reason == "not-an-image"


def test_a_table_of_a_hundred_thousand_images_is_read(tmp_path: Path) -> None:
    rows = (
        f"{k:08d}.png,{k // 4},{'test' if k % 4 else 'train'},{k % 2},{(k % 3 == 0) - (k % 5 == 0)}\n" for k in range(112_120)
    )
    path = table(tmp_path, "image,patient,split,Mass,Edema\n" + "".join(rows))
    samples = ImageFolder(path).index()
    assert len(samples) == 112_120
    assert len({s.patient for s in samples}) == 28_030


def test_a_file_replaced_by_one_of_equal_size_is_another_version(root: Root, folder: Path) -> None:
    import os

    whole = root()
    for data, path in (
        (ChestXray14(whole, split="all"), whole / "images" / "00000001_000.png"),
        (ImageFolder(table(folder), folder), folder / "c.png"),
    ):
        before = {s.id: s.version for s in data.index()}
        size = path.stat().st_size
        os.utime(path, ns=(1, 1))
        after = {s.id: s.version for s in data.index()}
        assert path.stat().st_size == size
        assert [name for name in before if before[name] != after[name]] == [path.name]


def test_names_without_their_ending_are_answered_with_the_suffix(folder: Path) -> None:
    stems = table(folder, "image,Mass\n007,1\nc,0\n")
    with pytest.raises(DatasetError, match=r"found no file '007', but '007\.png'; say suffix: \.png"):
        ImageFolder(stems, folder).index()
    assert [sample.problem for sample in ImageFolder(stems, folder, suffix=".png").index()] == [None, None]


def test_a_folder_with_none_of_the_files_is_refused_and_one_with_some_is_not(folder: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"none of the 2 files that table\.csv names is there, such as 'x\.png'; there is 007\.png, a,"
    ):
        ImageFolder(table(folder, "image,Mass\nx.png,1\ny.png,0\n"), folder).index()
    some = ImageFolder(table(folder, "image,Mass\nx.png,1\nc.png,0\n"), folder).index()
    assert [sample.problem for sample in some] == ["missing", None]
