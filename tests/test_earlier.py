"""`report: earlier:`: the change log of a report tells what `auditor diff` finds, touches no number, and stays at home when shared."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from auditor_plugins.sections import changes, crosswalk, sharing
from diffing import Tables, audited, drawn, written

from auditor import Section
from auditor.cli import main
from auditor.diff import earlier
from auditor.diff.difference import difference
from auditor.errors import AuditError, ConfigError, ExitCode
from auditor.evidence import Evidence, read
from auditor.report import new_environment, section_body
from auditor.results_schema import Results
from auditor.run import run
from auditor.share.bundle import share
from auditor.statistics.rows import MACRO
from auditor.validate import validate

FOCAL = "focal · scores · seed 0"


@pytest.fixture(scope="module")
def tables() -> Tables:
    return drawn()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, tables: Tables) -> Path:
    return audited(tmp_path_factory.mktemp("spring"), tables, title="Chest networks in spring")


@pytest.fixture(scope="module")
def worse(tables: Tables) -> Tables:
    """Focal replaced by a network that knows much less, four images gone."""
    noise = np.random.default_rng(9).normal(0, 3, tables.labels.shape)
    changed = tables.with_scores(("focal", 0), tables.scores["focal", 0] + noise)
    return changed.only(np.arange(len(tables.samples)) % 30 != 7)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory, old: Path, worse: Tables) -> Path:
    return audited(tmp_path_factory.mktemp("autumn"), worse, report=named(old))


def named(path: Path | str) -> str:
    return f"{{formats: [html], images: false, earlier: '{path}'}}"


def text(section: type[Section], evidence: Evidence) -> str:
    """What a reader sees of a section."""
    body = re.sub(r"<[^>]+>", " ", section_body(new_environment(), section, evidence))
    return re.sub(r"\s+", " ", body.replace("&#39;", "'").replace("&amp;", "&"))


# What it tells


def test_the_change_log_holds_the_overall_changes_of_a_diff_with_their_paired_intervals(old: Path, new: Path) -> None:
    told, found = read(new).earlier, difference(old, new)
    of_all = [change.row for change in found.changes if change.row.class_name == MACRO]
    assert [(row["metric"], row["difference"], row["low"], row["high"]) for row in told["changes"]] == [
        (row.metric, row.difference, row.low, row.high) for row in of_all
    ]
    assert (told["changes"][0]["metric"], told["changes"][0]["direction"], told["changes"][0]["who"]) == (
        "auroc",
        "worse",
        FOCAL,
    )
    assert told["left"]["changes"] == len(found.changes) - len(of_all) == 6
    assert told["not_paired"] == [{"reason": "only in the old audit", "images": 4}]
    assert (told["title"], told["shared_images"], told["shared_classes"]) == ("Chest networks in spring", 116, 2)
    assert {(row["topic"], row["name"]) for row in told["question"]} == {(fact.topic, fact.name) for fact in found.facts}
    assert [row["what"] for row in told["concluded"]] == [outcome.what for outcome in found.outcomes]


def test_no_other_word_of_results_json_is_another_for_it(new: Path, worse: Tables, tmp_path: Path) -> None:
    alone = json.loads((audited(tmp_path, worse) / "results.json").read_text())
    compared = json.loads((new / "results.json").read_text())
    assert alone.pop("earlier") == {}
    assert compared.pop("earlier")["title"] == "Chest networks in spring"
    for told in (alone, compared):  # tables lie in other folders, and the digests of data and plan are over their places
        del told["audit"]["plan"], told["dataset"]["digest"], told["dataset"]["options"]
        for model in told["models"]:
            del model["options"], model["digest"]
    assert alone == compared


def test_it_names_no_image_and_no_folder(old: Path, new: Path) -> None:
    told = json.dumps(read(new).earlier)
    assert "image-0" not in told
    assert "patient-0" not in told
    assert str(old.parent) not in told.replace(json.dumps(str(old.parent / "list.json"))[1:-1], "")


def test_it_has_the_published_shape(new: Path) -> None:
    told = json.loads((new / "results.json").read_text())
    assert Results.model_validate(told).earlier.model_dump(by_alias=True) == told["earlier"]
    del told["earlier"]["changes"][0]["low"]
    with pytest.raises(ValueError, match="low"):
        Results.model_validate(told)


def test_of_a_bundle_numbers_are_told_as_numbers_and_no_change_is_claimed(old: Path, worse: Tables, tmp_path: Path) -> None:
    bundle = share(old, tmp_path / "bundle").folder
    told = read(audited(tmp_path / "new", worse, report=named(bundle))).earlier
    assert told["changes"] == []
    assert told["headline"].startswith("Nothing is paired: the old audit cannot be paired: no plan.json and no ledger.db")
    assert told["warnings"] == []
    bce = FOCAL.replace("focal", "bce")  # it is on other images too
    assert [(row["metric"], row["model"]) for row in told["numbers"]][:2] == [("auroc", bce), ("auroc", FOCAL)]
    assert {row["metric"] for row in told["numbers"][2:]} == {"probability", "average_precision"}
    assert {row["class"] for row in told["numbers"]} == {MACRO}
    assert told["left"]["numbers"] == 12


def test_of_one_class_its_own_numbers_are_told(tmp_path: Path) -> None:
    one = replace(
        drawn(), classes=("Mass",), labels=drawn().labels[:, :1], scores={k: v[:, :1] for k, v in drawn().scores.items()}
    )
    before = audited(tmp_path / "old", one)
    after = audited(tmp_path / "new", one.with_scores(("focal", 0), -one.scores["focal", 0]), report=named(before))
    assert {row["class"] for row in read(after).earlier["changes"]} >= {"Mass"}


def test_many_changes_are_cut_and_counted(old: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "MAIN", 2)
    monkeypatch.setattr(earlier, "CONCLUDED", 1)
    whole, cut = read(new).earlier, earlier.since(old, new)
    assert cut["changes"] == whole["changes"][:2]
    assert cut["left"]["changes"] == whole["left"]["changes"] + len(whole["changes"]) - 2
    assert cut["left"]["concluded"] == len(whole["concluded"]) - 1 > 0


# The page


def test_a_reader_is_told_which_audit_what_changed_and_what_was_asked_otherwise(new: Path) -> None:
    said = text(changes.Changes, read(new))
    for part in (
        "“Chest networks in spring”, begun on ",
        "Of the different ones 4 are worse and 0 better. 116 images and 2 classes are in both audits.",
        "AUROC, mean over classes focal · scores · seed 0 0.727 0.5",
        "6 more paired numbers changed, of single classes among others. auditor diff on the two run folders shows each.",
        "images listed 120 116",
        "4 images: only in the earlier audit",
        "caution The networks are weak: ",
    ):
        assert part in said, part


def test_without_an_earlier_audit_the_comparison_is_not_evidenced(old: Path) -> None:
    said = text(changes.Changes, read(old))
    assert "Compared with an earlier audit not evidenced" in said
    assert "since the earlier audit" not in said


def test_of_a_bundle_the_page_says_why_nothing_is_paired_and_not_how_many_images_are_shared(new: Path) -> None:
    evidence = read(new)
    words = "Nothing is paired: the old audit cannot be paired: its ledger.db is not there."
    unpaired = {**evidence.earlier, "headline": words, "counted": "", "shared_images": 0, "shared_classes": 0, "changes": []}
    said = text(changes.Changes, replace(evidence, earlier=unpaired))
    assert "the earlier audit cannot be paired: its ledger.db is not there. No other number" in said


def test_annex_iv_6_is_evidenced_by_it_and_by_nothing_else(old: Path, new: Path) -> None:
    for run_folder, status in ((old, "not evidenced"), (new, "evidenced")):
        (row,) = re.findall(r"Changes over the life of the system.{0,400}", text(crosswalk.Crosswalk, read(run_folder)))[:1]
        assert re.search(r"(not )?evidenced", row)[0] == status  # type: ignore[index]


# Sharing


def test_what_changed_stays_at_home_when_a_run_is_shared(new: Path, tmp_path: Path) -> None:
    found = share(new, tmp_path / "bundle")
    assert found.evidence.earlier == {}
    assert found.evidence.audit["shared"]["withheld"]["earlier"] == 1
    assert "earlier: (path)" in (found.folder / "audit.yaml").read_text()
    assert "comparisons with an earlier audit 1" in text(sharing.Sharing, found.evidence)
    assert "What changed stays with the run and is not in this copy." in text(changes.Changes, found.evidence)
    for path in found.folder.rglob("*"):
        assert not path.is_file() or b"spring" not in path.read_bytes(), path


def test_of_a_run_without_it_nothing_is_said_to_be_withheld(old: Path, tmp_path: Path) -> None:
    found = share(old, tmp_path / "bundle").evidence
    assert found.audit["shared"]["withheld"]["earlier"] == 0
    assert "Compared with an earlier audit not evidenced" in text(changes.Changes, found)


# What cannot be


def spoilt(old: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    folder.mkdir()
    told = json.loads((old / "results.json").read_text())
    change(told)
    (folder / "results.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("autum", r"{folder}/autum: found no such folder; allowed: the folder of a finished run, or its results.json; did you mean autumn\?"),
        ("empty", r"{folder}/empty: found no results.json; allowed: the folder of a finished run \(auditor run AUDIT.yaml\)"),
        ("words", r"{folder}/words/results.json: found no JSON \(JSONDecodeError\); allowed: the results.json of a finished run, unchanged"),
        ("lacking", r"{folder}/lacking/results.json: found no dataset.digest; allowed: the results.json of a finished run, unchanged"),
        ("list", r"{folder}/list/results.json: found no audit.title; allowed: .*"),
    ],
)  # fmt: skip
def test_an_earlier_audit_that_cannot_be_read_is_told_with_its_place(
    name: str, said: str, old: Path, worse: Tables, tmp_path: Path
) -> None:
    for folder in ("autumn", "empty", "words", "list"):
        (tmp_path / folder).mkdir()
    (tmp_path / "words" / "results.json").write_text("words")
    (tmp_path / "list" / "results.json").write_text("[]")
    spoilt(old, tmp_path / "lacking", lambda told: told["dataset"].pop("digest"))
    audit = written(tmp_path, worse, report=named(name))
    with pytest.raises(ConfigError) as caught:
        validate(audit)
    place = rf"{re.escape(str(audit))}:7:51: report.earlier: "
    assert re.fullmatch(place + said.format(folder=re.escape(str(tmp_path))), str(caught.value)), caught.value


def test_a_row_of_another_version_is_refused_before_anything_is_measured(old: Path, worse: Tables, tmp_path: Path) -> None:
    strange = spoilt(old, tmp_path / "strange", lambda told: told["summaries"][0].update(colour="red"))
    audit = written(tmp_path, worse, report=named(strange))
    with pytest.raises(ConfigError, match=r"audit.yaml:7:51: report.earlier: .*results.json: cannot be read \(TypeError\)"):
        run(audit, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_its_own_earlier_audit(old: Path, worse: Tables, tmp_path: Path) -> None:
    done = tmp_path / "done"
    shutil.copytree(old, done)
    audit = written(tmp_path / "new", worse, report=named("../done/results.json"))
    with pytest.raises(
        ConfigError, match=r"report.earlier: found .*done, the folder of this run itself; allowed: the folder of an "
    ):
        run(audit, done, fresh=True)
    assert (done / "results.json").is_file()


def test_one_that_is_gone_when_the_run_ends_is_told_and_the_report_is_written(
    old: Path, worse: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(*_: Path) -> None:
        raise AuditError("spring: found no such folder")

    audit = written(tmp_path, worse, report=named(old))
    monkeypatch.setattr(earlier, "difference", gone)
    assert main(["run", str(audit), "--out", str(tmp_path / "run"), "-q"]) == ExitCode.INCOMPLETE
    assert "not compared with the earlier audit: spring: found no such folder" in capsys.readouterr().err
    assert (tmp_path / "run" / "report.html").is_file()
    assert read(tmp_path / "run").earlier == {}
