"""The bundle: what stands in it, where it may be written, and that it comes to be whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from auditor import AuditError, ExitCode, MissingLibrary, OutputError
from auditor.cli import main
from auditor.evidence import Evidence
from auditor.evidence import read as evidence_of
from auditor.identity import digest
from auditor.report import Rendered
from auditor.run import run
from auditor.share import bundle, private, pseudonyms
from auditor.share.bundle import share
from auditor.share.pseudonyms import Pseudonyms

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two tiny networks on 40 images of 14 patients."""
    folder = tmp_path_factory.mktemp("finished")
    tiny = Path(__file__).parent / "plugins_for_tests" / "tiny.py"
    lens = "preprocessing: {size: 32, mean: [0, 0, 0], std: [1, 1, 1]}"
    (folder / "audit.yaml").write_text(
        "title: Two tiny networks\ndataset: {use: tiny, unreadable: [7]}\nmodels:\n"
        f"  - {{use: tiny_network, strategy: bce, weights: 1, {lens}}}\n  - {{use: tiny_network, strategy: focal, weights: 2, {lens}}}\n"
        "reference: bce\nattributions: [gradcam]\nanalyses: [performance, alignment]\nmax_quarantine: 0.1\n"
        f"report: {{formats: [html]}}\nplugins: ['{tiny}']\nbatch: 8\ncontrols: false\n"
    )
    run(folder / "audit.yaml", folder / "run")
    return folder / "run"


@pytest.fixture
def a_run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def files(folder: Path) -> dict[str, bytes]:
    """{path: content} of a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# Pseudonyms.


def test_a_pseudonym_is_ten_bytes_of_a_keyed_hash() -> None:
    wanted = hmac.new(KEY, b"patient\0Smith", hashlib.sha256).hexdigest()[:20]
    assert Pseudonyms(KEY).patient("Smith") == wanted


def test_pseudonyms_differ_by_key_and_by_kind_and_are_no_plain_hash() -> None:
    mine, other = Pseudonyms(KEY), Pseudonyms(bytes(32))
    assert len({mine.patient("p1"), mine.image("p1"), other.patient("p1"), other.image("p1")}) == 4
    plain = {hashlib.sha256(text).hexdigest()[:20] for text in (b"p1", b"patient\0p1", b"patientp1")}
    assert mine.patient("p1") not in plain


def test_names_that_are_no_text_have_pseudonyms_too() -> None:
    found = pseudonyms.table(Pseudonyms(KEY), ["a\ud800"], ["é"])
    assert found.count(b"\n") == 3


def test_the_key_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    first = private.key(tmp_path)
    assert (len(first), private.key(tmp_path)) == (32, first)
    assert private.key(tmp_path) != private.key(tmp_path / "..")
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "private" / "pseudonym.key").stat().st_mode & 0o777 == 0o600


def test_a_cut_key_is_not_used(tmp_path: Path) -> None:
    private.write(tmp_path, "pseudonym.key", b"short")
    with pytest.raises(OutputError, match="found 5 bytes; allowed: the 32"):
        private.key(tmp_path)


# The bundle.


def test_the_bundle_is_a_closed_list_that_sha256sum_accepts(a_run: Path) -> None:
    folder = share(a_run).folder
    tables = {"cases/performance.csv", "cases/alignment-gradcam.csv", "cases/alignment-gradcam.boxes.csv"}
    assert files(folder).keys() == {"report.html", "results.json", "audit.yaml", "manifest.json", "SHA256SUMS"} | tables
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    assert listed.keys() == files(folder).keys() - {"manifest.json", "SHA256SUMS"}
    assert {name: told["sha256"] for name, told in listed.items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files(folder).items() if name in listed
    }


def test_the_same_run_and_key_give_the_same_bytes_and_another_key_others(a_run: Path, finished: Path, tmp_path: Path) -> None:
    first = files(share(a_run).folder)
    assert files(share(a_run, tmp_path / "again").folder) == first
    other = Path(shutil.copytree(finished, tmp_path / "other"))
    found = files(share(other).folder)
    assert found.keys() == first.keys()
    names = [
        {row["patient"] for row in csv.DictReader(f["cases/performance.csv"].decode().splitlines())} for f in (first, found)
    ]
    assert [len(some) for some in names] == [14, 14]
    assert names[0].isdisjoint(names[1])


def test_cases_hold_every_value_in_full(a_run: Path) -> None:
    from auditor import cases

    folder = share(a_run).folder
    stand_ins = Pseudonyms(private.key(a_run))
    wanted = {
        (column.model, stand_ins.image(sample), name, column.metric): value
        for column in cases.columns(a_run)
        for sample, name, value in zip(column.samples, column.classes, column.values.tolist(), strict=True)
        if value == value
    }
    found = {}
    for table in ("performance", "alignment-gradcam"):
        for row in csv.DictReader((folder / "cases" / f"{table}.csv").read_text().splitlines()):
            about = (row.pop("model"), row.pop("image"), row.pop("class"))
            assert (row.pop("split"), len(row.pop("patient"))) == ("audited", 20)
            assert row.pop("label") in ("0", "1")
            found |= {(*about, metric): float(cell) for metric, cell in row.items() if cell}
    assert found == wanted
    assert len(found) > 200


def test_numbers_that_rest_on_enough_patients_are_those_of_the_run(a_run: Path) -> None:
    private_evidence, found = evidence_of(a_run), share(a_run).evidence
    assert found.audit["shared"]["classes_withheld"] == []
    assert found.summaries == private_evidence.summaries
    assert found.comparisons == private_evidence.comparisons
    assert [f.text for f in found.findings] == [f.text for f in private_evidence.findings]
    assert found.audit["shared"]["withheld"]["sentences"] == 0


def test_every_field_of_the_evidence_is_decided_on_and_a_new_one_stays_at_home(a_run: Path) -> None:
    whole, found = evidence_of(a_run), share(a_run).evidence
    handled = {"audit", "dataset", "models", "accounting", "self_test", "metrics", "environment", "findings", "gates", "summaries",
               "comparisons", "repeated", "gaps", "controls", "operating", "by_outcome", "curves", "histograms", "profiles", "detectors",
               "overlaps", "pictures", "units", "subgroups", "earlier"}  # fmt: skip
    assert {field.name for field in fields(Evidence)} == handled, "decide in auditor/share/redact.py what of it can leave"
    assert whole.audit.keys() | {"shared"} == found.audit.keys()
    assert whole.dataset.keys() == found.dataset.keys()
    assert whole.accounting.keys() == found.accounting.keys()
    assert [model.keys() for model in whole.models] == [model.keys() for model in found.models]
    data = json.loads((a_run / "results.json").read_text())
    for part in (data["audit"], data["dataset"], data["accounting"], data["models"][0]):
        part["a_new_key"] = "Jane Doe"
    (a_run / "results.json").write_text(json.dumps(data))
    assert "a_new_key" not in share(a_run).evidence.to_json()


def test_boxes_of_all_classes_are_not_counted_where_those_of_one_are_few(a_run: Path) -> None:
    plan = json.loads((a_run / "plan.json").read_text())
    boxes = plan["known"]["boxes"]
    kept = [row for row in boxes if not row.endswith(" Mass")] + [row for row in boxes if row.endswith(" Mass")][:1]
    plan["known"]["boxes"] = kept
    text = json.dumps(plan)
    (a_run / "plan.json").write_text(text)
    for path in (a_run / "results.json", a_run / "private" / "made_with.json"):
        data = json.loads(path.read_text())
        holder = data.get("audit", data)
        holder["plan"] = digest(text)
        path.write_text(json.dumps(data))
    counts = share(a_run).evidence.dataset["counts"]
    assert {name: row["boxes"] for name, row in counts.items()} == {"Nodule": None, "Effusion": None, "Mass": None}
    assert all(row["positive"] > 0 for row in counts.values())


def test_pictures_are_shared_only_when_asked_for_and_anew(a_run: Path) -> None:
    assert b"data:image/png" not in (share(a_run).folder / "report.html").read_bytes()
    found = share(a_run, pictures=True)
    assert found.evidence.audit["shared"]["pictures"] == len(found.evidence.pictures) > 0
    assert all(picture.case.startswith("image ") for picture in found.evidence.pictures)
    assert b"burned into the pixels is not detected" in (found.folder / "report.html").read_bytes()
    assert not (found.folder / "arrays").exists()


def test_large_pictures_become_smaller(a_run: Path) -> None:
    from dataclasses import replace

    import numpy as np

    from auditor import pictures

    large = [replace(picture, pixels=np.zeros((512, 300), np.uint8)) for picture in evidence_of(a_run).pictures]
    pictures.save(a_run, large)
    shapes = {picture.pixels.shape for picture in share(a_run, pictures=True).evidence.pictures}
    assert shapes == {(224, 131)}


def test_the_report_of_a_run_has_no_section_on_sharing(a_run: Path) -> None:
    assert b"What this copy leaves out" not in (a_run / "report.html").read_bytes()
    assert b"What this copy leaves out" in (share(a_run).folder / "report.html").read_bytes()


# Where it may be written.


@pytest.fixture
def plain_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page in no time in the place of the report, where the test is not about it."""

    def render(folder: Path, *_: object) -> Rendered:
        (folder / "report.html").write_text("a page")
        return Rendered({}, [])

    monkeypatch.setattr(bundle, "render", render)


@pytest.mark.usefixtures("plain_page")
def test_an_earlier_bundle_is_replaced_and_nothing_of_it_is_left(a_run: Path) -> None:
    folder = share(a_run).folder
    (folder / "SHA256SUMS.sig").write_text("signed")
    (folder / "cases" / "stale.csv").write_text("old")
    before = files(folder).keys()
    assert files(share(a_run).folder).keys() == before - {"SHA256SUMS.sig", "cases/stale.csv"}
    assert not [path.name for path in a_run.iterdir() if path.name.startswith(".share")]


def spoil_with_a_file(folder: Path) -> None:
    (folder / "thesis.docx").write_text("years of work")


def spoil_with_a_link(folder: Path) -> None:
    (folder / "cases" / "x.csv").symlink_to("/etc/passwd")


def spoil_by_taking_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.usefixtures("plain_page")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_with_a_file, "found thesis.docx, which no bundle has; allowed: a new folder, or an earlier bundle"),
        (spoil_with_a_link, "found cases/x.csv, which no bundle has"),
        (spoil_by_taking_the_manifest, "found files and no manifest.json; allowed"),
    ],
)
def test_a_folder_with_anything_else_in_it_is_refused(a_run: Path, spoil: Callable[[Path], None], said: str) -> None:
    folder = share(a_run).folder
    spoil(folder)
    before = files(folder)
    with pytest.raises(OutputError) as caught:
        share(a_run)
    assert said in str(caught.value)
    assert files(folder) == before


def test_a_link_in_the_place_of_the_folder_is_refused(a_run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="found a file or a link"):
        share(a_run, tmp_path / "out")


def test_a_run_of_an_older_version_says_how_to_go_on(a_run: Path) -> None:
    shutil.rmtree(a_run / "private")
    with pytest.raises(OutputError, match=r"made_with\.json: No such file.*run the audit again: finished work is kept"):
        share(a_run)


def test_files_of_two_runs_are_not_mixed(a_run: Path) -> None:
    (a_run / "plan.json").write_text((a_run / "plan.json").read_text().replace("Two tiny", "Two other"))
    with pytest.raises(OutputError, match="are not of one run"):
        share(a_run)
    assert not (a_run / "share").exists()


# Whole or not at all.


class Killed(BaseException):
    """As if the process had been killed here."""


STEPS = [(bundle.case_tables, "write"), (bundle, "render"), (bundle.manifest, "write"), (bundle, "_move")]


@pytest.mark.parametrize(("module", "name"), STEPS)
def test_a_kill_leaves_the_earlier_bundle_or_none(
    a_run: Path, module: object, name: str, plain_page: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(bundle.shutil, "rmtree", lambda *_, **__: None)  # whoever is killed tidies nothing up
        patched.setattr(module, name, killed)
        with pytest.raises(Killed):
            share(a_run)
    assert not (a_run / "share").exists()
    before = files(share(a_run).folder)
    monkeypatch.setattr(module, name, killed)
    with pytest.raises(Killed):
        share(a_run)
    assert files(a_run / "share") == before


def test_a_kill_between_the_two_moves_leaves_none_and_the_next_one_is_whole(
    a_run: Path, plain_page: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(share(a_run).folder)
    moved = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if self.name == ".share.partial":
            raise Killed
        return moved(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            share(a_run)
    assert not (a_run / "share").exists()
    assert files(share(a_run).folder) == before
    assert not [path.name for path in a_run.iterdir() if path.name.startswith(".share")]


def test_a_section_that_cannot_be_made_from_what_is_shared_stops_it(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor_plugins.sections.strategies import Strategies

    monkeypatch.setattr(Strategies, "context", lambda *_: 1 / 0)
    with pytest.raises(AuditError, match="the section strategies cannot be made from what is shared"):
        share(a_run)
    assert not (a_run / "share").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_said(a_run: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        share(a_run, tmp_path / "closed" / "share")


def test_without_the_libraries_of_the_pdf_the_rest_is_written_and_it_is_said(
    a_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def render(folder: Path, *_: object) -> Rendered:
        (folder / "report.html").write_text("a page")
        raise MissingLibrary("the PDF needs WeasyPrint")

    monkeypatch.setattr(bundle, "render", render)
    assert main(["share", str(a_run)]) == ExitCode.INCOMPLETE
    assert "the PDF needs WeasyPrint" in capsys.readouterr().err
    assert {"report.html", "SHA256SUMS"} <= files(a_run / "share").keys()


# The command.


def test_the_command_says_what_it_left_out(a_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["share", str(a_run)]) == ExitCode.COMPLETE
    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"share {a_run / 'share'}"
    assert "left out       nothing" in out
    assert "classes        none withheld" in out
    assert "sign anew" not in out
    (a_run / "share" / "SHA256SUMS.sig").write_text("a signature")
    main(["share", str(a_run)])
    assert "that of the copy before is gone with it; sign anew" in capsys.readouterr().out


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["share", str(tmp_path)]) == ExitCode.REFUSED
    assert f"auditor: {tmp_path}: found no results.json; allowed: the folder of a finished run" in capsys.readouterr().err
