"""Groups, the unit gallery and who is on the images in a shared copy: nothing of fewer than 5 patients, and no group given back."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grouped import write
from hypothesis import given
from hypothesis import strategies as st

from auditor.cli import main
from auditor.dataset import Box, Sample
from auditor.evidence import Evidence
from auditor.run import run
from auditor.share import by_group, cells, group_table, private, units
from auditor.share.bundle import share
from auditor.share.cells import REASON
from auditor.share.pseudonyms import Pseudonyms
from auditor.shown_units import ShownUnit, UnitClass, UnitImage
from auditor.verification import files

BANDS = [25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 80]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough patients in every group; its bundle beside it."""
    folder = tmp_path_factory.mktemp("enough")
    subgroups = f"[{{by: sex, primary: [auroc]}}, {{by: age, bands: {BANDS}}}]"
    run(write(folder, subgroups=subgroups), folder / "run", device="cpu")
    share(folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients have a sex of their own, whose name says who they are."""
    folder = tmp_path_factory.mktemp("few")
    run(write(folder, few=3), folder / "run", device="cpu")
    share(folder / "run")
    return folder / "run"


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


# Subgroups


def test_where_every_group_is_large_the_numbers_are_those_of_the_run(audited: Path) -> None:
    whole, found = results(audited), results(audited / "share")
    assert found["subgroups"] == whole["subgroups"]
    assert found["audit"]["subgroups"] == whole["audit"]["subgroups"]
    assert [row["text"] for row in found["findings"]] == [row["text"] for row in whole["findings"]]
    assert any("By sex" in row["text"] for row in found["findings"])
    assert found["audit"]["shared"]["withheld"]["subgroups"] == 0
    assert found["audit"]["shared"]["groups_told"] == ["sex"]  # of age as well some cells would be too small


def test_of_an_attribute_with_a_small_group_no_number_is_told_and_not_its_name(few: Path) -> None:
    found = results(few / "share")
    (sex,) = [told for told in found["audit"]["subgroups"] if told["by"] == "sex"]
    assert [group["group"] for group in sex["groups"]] == ["F", "M", "group not shared"]
    assert {group[what] for group in sex["groups"] for what in ("images", "patients")} == {None}
    assert sex["unknown"] is None
    assert {row["missing"] for row in found["subgroups"] if row["by"] == "sex"} == {REASON}
    assert {row["missing"] for row in found["subgroups"] if row["by"] == "age"} == {None}
    assert found["dataset"]["described"]["audited"]["sex"] == {"known": None, "missing": REASON}
    assert not [path for path in (few / "share").rglob("*") if path.is_file() and b"X-jane" in path.read_bytes()]
    assert b"X-jane" in (few / "report.html").read_bytes()
    page = (few / "share" / "report.html").read_text()
    assert "Which image belongs to which group is not told for" in page
    assert '<td class="absent">not shared</td>' in page


def test_what_the_data_set_says_of_images_is_told_by_declared_groups_only(audited: Path) -> None:
    """The ages themselves, the youngest and the oldest among them, stay at home; what no subgroup declares altogether."""
    whole, found = results(audited)["dataset"]["described"], results(audited / "share")["dataset"]["described"]
    assert whole["audited"]["age"].keys() == {"known", "median", "low", "high"}
    told = {one["by"]: one for one in results(audited)["audit"]["subgroups"]}
    assert found["audited"]["sex"] == whole["audited"]["sex"]
    assert found["audited"]["age"]["counts"] == {group["group"]: group["images"] for group in told["age"]["groups"]}


def test_an_attribute_that_nobody_declares_stays_at_home_and_is_counted(tmp_path: Path) -> None:
    run(write(tmp_path, subgroups="[sex]"), tmp_path / "run", device="cpu")
    found = share(tmp_path / "run").evidence
    assert found.dataset["described"] == {
        "audited": {"sex": {"known": 600, "counts": found.dataset["described"]["audited"]["sex"]["counts"]}}
    }
    assert found.audit["shared"]["withheld"]["attributes"] == 1


class Known(by_group.ByGroup):
    """Groups of samples that are made here: `values` are the samples with a value, class by class."""

    def __init__(self, samples: list[Sample], values: dict[str, set[str]], rows: Any, statistic: str = "auroc") -> None:
        self._evidence = Evidence(
            audit={}, dataset={"classes": ["A", "B", "C"]}, models=({"id": "m", "family": "net", "strategy": "bce"},),
            metrics={"x": {"statistic": statistic, "of": "logit"}}, summaries=(), comparisons=(), findings=(), gaps=(), accounting={},
            environment={}, subgroups=tuple(rows),
        )  # fmt: skip
        self._cells = cells.Cells(frozenset(), {}, {}, {}, [1], [1])
        self._told = ({"by": "sex", "bands": [], "groups": [], "unknown": 0},)
        self.audited, self._sample = samples, {sample.id: sample for sample in samples}
        self._known = {("m", "performance", None, "logit"): values}
        self._bands, self.small = set(), set()


def number(group: str, name: str, against: str | None = None, value: float | None = 0.8) -> Any:
    missing = None if value is not None else "not estimable (3 positives; 10 are needed)"
    return by_group.SubgroupRow(
        "sex", group, against, "x", "performance", None, "net", "bce", None, name, value, missing, 50, None, 50
    )


def people(women: int, men: int, positive_men: int, unknown: int = 0) -> list[Sample]:
    """Every second woman has each finding, and so many men."""
    found = [Sample(f"f{n}", f"f{n}", (n % 2,) * 3, metadata={"sex": "F"}) for n in range(women)]
    found += [Sample(f"m{n}", f"m{n}", (int(n < positive_men), n % 2, n % 2), metadata={"sex": "M"}) for n in range(men)]
    return found + [Sample(f"u{n}", f"u{n}", (n % 2,) * 3) for n in range(unknown)]


def withheld(samples: list[Sample], rows: list[Any], statistic: str = "auroc", names: str = "ABC") -> list[tuple[str, str]]:
    values = {name: {sample.id for sample in samples} for name in names}
    return [(row.group, row.class_name) for row in Known(samples, values, rows, statistic).rows() if row.missing == REASON]


def test_a_class_that_few_of_one_group_have_is_withheld_for_all_groups() -> None:
    """50 women with the finding, and 53 in all: the number of the women's row would tell the three men."""
    rows = [number("F", "A"), number("M", "A", value=None), number("F", "B"), number("M", "B")]
    assert withheld(people(100, 60, 3), rows) == [("F", "A"), ("M", "A")]
    assert withheld(people(100, 60, 0), rows) == []
    assert withheld(people(100, 60, 57), rows) == [("F", "A"), ("M", "A")]  # three without it
    assert withheld(people(100, 60, 3), rows, statistic="mean") == []  # no label is counted there


def test_patients_of_no_known_group_are_a_group_too() -> None:
    assert withheld(people(100, 60, 30, unknown=3), [number("F", "B")]) == [("F", "B")]
    assert withheld(people(100, 60, 30, unknown=20), [number("F", "B")]) == []


def test_a_mean_to_which_one_withheld_class_contributed_is_withheld_with_it() -> None:
    rows = [number("F", name) for name in ("A", "B", "C", "(macro)")] + [number("M", name) for name in ("B", "C", "(macro)")]
    assert withheld(people(100, 60, 3), rows) == [("F", "A"), ("F", "(macro)")]


def test_a_difference_is_withheld_where_few_patients_are_in_both_groups() -> None:
    """Patients of either group less those of both would tell how many have images in both."""
    both = people(100, 60, 30) + [Sample(f"x{n}", f"f{n}", (0, 1, 1), metadata={"sex": "M"}) for n in range(3)]
    rows = [number("F", "B"), number("F", "B", against="M"), number("F", "(macro)", against="M")]
    assert withheld(both, rows) == [("F", "B"), ("F", "(macro)")]
    many = both + [Sample(f"y{n}", f"f{n}", (0, 1, 1), metadata={"sex": "M"}) for n in range(3, 9)]
    assert withheld(many, rows) == []


# groups.csv


def test_the_table_of_groups_holds_the_group_of_every_image(audited: Path) -> None:
    stand_ins = Pseudonyms(private.key(audited))
    with (audited.parent / "images.csv").open(newline="") as file:
        wanted = {stand_ins.image(row["image"]): row["sex"] for row in csv.DictReader(file)}
    with (audited / "share" / "groups.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"]: row["sex"] for row in rows} == wanted
    assert [row["image"] for row in rows] == sorted(row["image"] for row in rows)


@given(
    st.lists(
        st.tuples(st.integers(0, 25), st.sampled_from(["F", "M", ""]), st.sampled_from(["old", "young"]), st.integers(0, 1)),
        max_size=120,
    )
)
def test_nobody_is_in_a_small_cell_of_the_table_of_groups(drawn: list[tuple[int, str, str, int]]) -> None:
    samples = [
        Sample(f"i{n}", f"p{who}", (label,), metadata={"sex": sex, "age": age} if sex else {"age": age})
        for n, (who, sex, age, label) in enumerate(drawn)
    ]
    found = Known(samples, {}, ())
    found._told = tuple({"by": by, "bands": [], "groups": [], "unknown": 0} for by in ("sex", "age"))
    record: Any = type("Record", (), {"plan": {"dataset": {"classes": ["A"]}}})
    columns = group_table.columns(found, record, found._cells)
    who: dict[Any, set[str]] = {}
    for sample in samples:
        group = tuple(sample.metadata.get(by, "") for by in columns)
        who.setdefault((group, sample.labels[0]), set()).add(sample.patient)
    assert all(len(patients) >= 5 for patients in who.values()) or not columns


@pytest.mark.parametrize(("positive_men", "columns"), [(30, ["sex"]), (3, []), (57, []), (0, ["sex"])])
def test_a_column_of_groups_in_which_few_have_a_finding_is_left_out(positive_men: int, columns: list[str]) -> None:
    found = Known(people(100, 60, positive_men), {}, ())
    record: Any = type("Record", (), {"plan": {"dataset": {"classes": ["A", "B", "C"]}}})
    assert group_table.columns(found, record, found._cells) == columns


# The gallery of units


def a_unit(**more: Any) -> ShownUnit:
    fires = tuple(UnitClass(name, shown, 20, 50, 100) for name, shown in zip("ABC", (17, 8, 6), strict=True))
    image = UnitImage("case 1", "i1", 3.0, 1.0, True)
    return replace(ShownUnit("dissection", "m", "bce", 7, "A", 0.2, 40, 30, 20, (image,), fires), **more)


def gallery(unit: ShownUnit, samples: list[Sample]) -> tuple[ShownUnit, ...]:
    evidence = Known(samples, {}, ())._evidence
    counted = cells.Cells(frozenset(), {}, {}, {}, [1], [1])
    return units.shared(replace(evidence, units=(unit,)), counted, samples, Pseudonyms(bytes(32)))


BOXED = [Sample(f"i{n}", f"p{n}", (n % 2,) * 3, (Box("A", 0, 0, 1, 1),)) for n in range(40)]


def test_images_of_the_gallery_stand_under_pseudonyms() -> None:
    (found,) = gallery(a_unit(fires=()), BOXED)
    name = Pseudonyms(bytes(32)).image("i1")
    assert found.images == (UnitImage(f"image {name}", name, 3.0, 1.0, None),)


def test_counts_of_few_top_images_are_left_out_never_alone() -> None:
    """17 of 20 show A, so 3 do not: A is left out, and the class that is shown least with it."""
    (found,) = gallery(a_unit(), BOXED)
    assert [one.class_name for one in found.fires] == ["B"]
    even = tuple(UnitClass(name, shown, 20, 50, 100) for name, shown in zip("ABC", (12, 8, 6), strict=True))
    assert gallery(a_unit(fires=even), BOXED)[0].fires == even


@pytest.mark.parametrize("more", [{"n_patients": 4}, {"tops": 3}])
def test_a_unit_of_few_patients_is_left_out(more: dict[str, Any]) -> None:
    assert gallery(a_unit(**more), BOXED) == ()


def test_a_class_that_few_boxed_patients_have_is_told_beside_no_unit() -> None:
    rare = [replace(sample, labels=(number % 2, int(number < 3), number % 2)) for number, sample in enumerate(BOXED)]
    even = tuple(UnitClass(name, shown, 20, 50, 100) for name, shown in zip("ABC", (12, 8, 6), strict=True))
    (found,) = gallery(a_unit(fires=even), rare)
    assert [one.class_name for one in found.fires] == ["A"]  # and never B alone


# Checked by somebody else


@pytest.fixture
def copied(audited: Path, tmp_path: Path) -> Path:
    """A copy of the run with its bundle, to be tampered with."""
    return Path(shutil.copytree(audited, tmp_path / "run"))


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out + err


def forge(place: Path, edit: Any) -> None:
    """Change results.json, and make the report and the lists fit."""
    from auditor.registry import Registry
    from auditor.report import render

    data = results(place)
    edit(data)
    (place / "results.json").write_text(Evidence.from_json(json.dumps(data)).to_json())
    render(place, ("html",), Registry())
    if (place / files.SUMS).exists():
        relist(place)


def relist(bundle: Path) -> None:
    from auditor.share import manifest

    content = json.loads((bundle / files.MANIFEST).read_text())
    for name in (files.MANIFEST, files.SUMS):
        (bundle / name).unlink()
    content["files"] = manifest.digests(bundle)
    (bundle / files.MANIFEST).write_bytes(manifest.canonical(content))
    sums = {name: one["sha256"] for name, one in manifest.digests(bundle).items()}
    (bundle / files.SUMS).write_text("".join(f"{one}  {name}\n" for name, one in sorted(sums.items())))


def test_run_and_bundle_with_groups_are_verified(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = told(capsys, "verify", audited)
    assert (code, "level 2 verified" in words) == (0, True), words
    code, words = told(capsys, "verify", audited / "share")
    assert (code, "level 2 verified" in words) == (0, True), words
    by_age = sum(row["by"] == "age" for row in results(audited)["subgroups"])
    assert f"not recomputed: {by_age} rows by groups that this bundle does not tell image by image" in words


def test_a_bundle_whose_groups_are_withheld_is_verified(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = told(capsys, "verify", few / "share")
    assert (code, "level 2 verified" in words) == (0, True), words


FORGED: dict[str, tuple[Any, str]] = {
    "a number": (
        lambda data: next(row for row in data["subgroups"] if row["by"] == "sex" and row["value"]).update(value=0.99),
        "results.json, subgroups, auroc, performance, sex, F, ",
    ),
    "the size of a group": (
        lambda data: data["audit"]["subgroups"][0]["groups"][0].update(images=999),
        "results.json, audit, subgroups, sex, F, images: is 999; from the cases it is ",
    ),
    "a finding": (
        lambda data: data.update(findings=[row for row in data["findings"] if "By sex" not in row["text"]]),
        "results.json, findings, ",
    ),
}


@pytest.mark.parametrize("where", [".", "share"])
@pytest.mark.parametrize("what", FORGED)
def test_what_is_forged_of_groups_is_found(copied: Path, where: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    edit, expected = FORGED[what]
    forge(copied / where, edit)
    code, words = told(capsys, "verify", copied / where)
    assert (code, expected in words) == (1, True), words


def test_two_patients_who_change_groups_are_found(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = copied / "share" / "groups.csv"
    lines = table.read_text().splitlines()
    first = {sex: next(n for n, line in enumerate(lines) if line.endswith(f",{sex}")) for sex in "FM"}
    for before, after in ("FM", "MF"):
        lines[first[before]] = lines[first[before]].removesuffix(before) + after
    table.write_text("\n".join(lines) + "\n")
    relist(copied / "share")
    code, words = told(capsys, "verify", copied / "share")
    assert (code, "results.json, subgroups, auroc" in words) == (1, True), words


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("image,sex", "picture,sex", "groups.csv:1: column 1: found 'picture'; allowed: 'image'"),
        ("image,sex", "image,sexx", "groups.csv:1: found the column 'sexx'; allowed: an attribute of results.json, audit, subgroups; did you mean sex?"),
        (",F\n", ",W\n", "sex: found 'W'; allowed: F, M, (empty)"),
        (",F\n", ",F,F\n", "found 3 cells; allowed: 2, as in the first line"),
    ],
)  # fmt: skip
def test_a_hostile_table_of_groups_is_refused_in_a_sentence(
    copied: Path, before: str, after: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = copied / "share" / "groups.csv"
    table.write_text(table.read_text().replace(before, after, 1))
    relist(copied / "share")
    code, words = told(capsys, "verify", copied / "share")
    assert (code, message in words, "internal error" in words) == (2, True, False), words


def test_the_same_audit_twice_is_no_difference(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = told(capsys, "diff", audited, audited)
    assert code == 0, words
    assert words.splitlines()[0].startswith("Nothing changed")
    assert "Not compared: numbers by subgroup" in words


def test_of_the_metadata_a_run_keeps_the_group_and_not_the_value(audited: Path) -> None:
    plan = json.loads((audited / "plan.json").read_text())
    groups = plan["known"]["groups"]
    assert (groups["age"]["names"][0], groups["age"]["names"][-1]) == ("below 25", "80 and above")
    with (audited.parent / "images.csv").open(newline="") as file:
        ages = {row["image"]: int(row["age"]) for row in csv.DictReader(file)}
    assert groups["age"]["of"] == np.searchsorted(BANDS, [ages[name] for name in plan["samples"]], "right").tolist()
