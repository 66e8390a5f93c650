"""Levels 2 and 3 of `auditor verify`: the numbers follow from the cases, the report shows them, the networks give them again."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor import run
from auditor.cli import main
from auditor.evidence import Evidence
from auditor.registry import Registry
from auditor.report import render, write_pdf
from auditor.share.bundle import share
from auditor.verification import bundle_numbers, case_tables, drawn, files, page, paper, rerun
from auditor.verification.found import Level

FAINT = Path(__file__).parent / "plugins_for_tests" / "faint.py"
AUDIT = f"""title: Two linear networks
dataset: {{use: faint, images: 300}}
training_images: {{split: train, images: 200}}
models:
  - {{use: fitted, strategy: few, images: 200, preprocessing: {{size: 12, channels: 1, mean: [0.5], std: [1]}}}}
  - {{use: fitted, strategy: many, images: 400, preprocessing: {{size: 12, channels: 1, mean: [0.5], std: [1]}}}}
reference: many
claims: {{primary: [auroc], margin: {{auroc: 0.05}}}}
gates: [{{metric: auroc, claim: noninferior, margin: 0.2, tier: advisory}}]
attributions: []
analyses: [performance, calibration, logit_shift]
controls: false
report: {{formats: [html]}}
plugins: ['{FAINT}']
batch: 50
"""
Told = tuple[int, str]
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its bundle, made once and never changed."""
    folder = tmp_path_factory.mktemp("faint")
    (folder / "audit.yaml").write_text(AUDIT)
    result = run.run(folder / "audit.yaml", folder / "run", device="cpu")
    assert result.html is not None, result.messages
    share(folder / "run")
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of the run folder, to be tampered with."""
    shutil.copytree(whole / "run", tmp_path / "run", ignore=shutil.ignore_patterns("share"))
    return tmp_path / "run"


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be tampered with."""
    shutil.copytree(whole / "run" / "share", tmp_path / "share")
    return tmp_path / "share"


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> Told:
    capsys.readouterr()
    code = main(["verify", *(str(argument) for argument in arguments)])
    out, err = capsys.readouterr()
    return code, out + err


def relist(bundle: Path) -> None:
    """Make the lists fit the files, as a forger would."""
    manifest = json.loads((bundle / files.MANIFEST).read_text())
    for name, known in manifest["files"].items():
        known["sha256"] = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
        known["bytes"] = (bundle / name).stat().st_size
    (bundle / files.MANIFEST).write_text(json.dumps(manifest))
    sums = {name: one["sha256"] for name, one in manifest["files"].items()}
    sums[files.MANIFEST] = hashlib.sha256((bundle / files.MANIFEST).read_bytes()).hexdigest()
    (bundle / files.SUMS).write_text("".join(f"{one}  {name}\n" for name, one in sorted(sums.items())))


def forge(place: Path, edit: Edit) -> None:
    """Change results.json and make the report from it anew, and the lists where there are any."""
    results = json.loads((place / "results.json").read_text())
    edit(results)
    (place / "results.json").write_text(Evidence.from_json(json.dumps(results)).to_json())
    render(place, ("html",), Registry())
    if (place / files.SUMS).exists():
        relist(place)


def row(results: dict[str, Any], table: str, **about: str) -> dict[str, Any]:
    return next(row for row in results[table] if all(row[key] == value for key, value in about.items()))


# a run folder


def test_a_run_is_verified_from_its_own_ledger(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = told(capsys, whole / "run")
    lines = words.splitlines()
    assert code == 0, words
    assert lines[0].startswith("level 2 verified: the numbers, intervals and verdicts follow from the values of the cases")
    assert re.fullmatch(r"  [\d,]{4,} numbers were made again from the ledger and are the same to the last bit", lines[2])
    assert re.search(r"  report.html shows what results.json gives, [\d,]{4,} pieces of it", words)
    assert lines[-1] == "  not proved: that the networks gave these values for these images (level 3 asks them again)"


def test_a_run_folder_has_no_level_1(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = told(capsys, whole / "run", "--level", 1)
    assert (code, "is a run folder, which has no list of its files and cannot be signed" in words) == (2, True)


FORGED: dict[str, tuple[Edit, str]] = {
    "a number": (
        lambda results: row(results, "summaries", metric="auroc", strategy="few", **{"class": "Rare"}).update(value=0.999),
        r"results\.json, summaries, auroc, performance, few, few · fitted · seed 0, Rare: value is 0\.999; from the cases it is 0\.\d+",
    ),
    "an interval": (
        lambda results: row(results, "comparisons", metric="auroc", **{"class": "Common"}).update(low=0.0123),
        r"results\.json, comparisons, auroc, performance, fitted, few, many, Common: low is 0\.0123; from the cases it is -?0\.\d+",
    ),
    "a verdict": (
        lambda results: row(results, "comparisons", metric="auroc", **{"class": "(macro)"}).update(verdict="different but negligible"),
        r"results\.json, comparisons, auroc, .*\(macro\): verdict is \"different but negligible\"; from the cases it is \"",
    ),
    "a count": (
        lambda results: row(results, "comparisons", metric="auroc", **{"class": "Rare"}).update(n_patients=9999),
        r"results\.json, comparisons, auroc, .*Rare: n_patients is 9999; from the cases it is \d+",
    ),
    "a sentence": (
        lambda results: results["findings"][0].update(text="The two networks are equivalent."),
        r"results\.json, findings, .*: text is \"The two networks are equivalent\.\"; from the cases it is \"",
    ),
    "a gate": (
        lambda results: row(results, "gates", metric="auroc").update(outcome="failed"),
        r"results\.json, gates, auroc, .*: outcome is \"failed\"; from the cases it is \"passed\"|\"inconclusive\"",
    ),
    "a row too few": (
        lambda results: results["comparisons"].remove(row(results, "comparisons", metric="auroc", **{"class": "Rare"})),
        r"results\.json, comparisons, auroc, .*Rare: follows from the cases and is not in results\.json",
    ),
    "a row too many": (
        lambda results: results["comparisons"].append(
            {**row(results, "comparisons", metric="auroc", **{"class": "Rare"}), "strategy": "better"}
        ),
        r"results\.json, comparisons, auroc, .*better.*: stands in results\.json and does not follow from the cases",
    ),
    "a declaration": (
        lambda results: results["metrics"]["brier"].update(better="higher"),
        r"results\.json, metrics, brier, better: is \"higher\"; from the cases it is \"lower\"",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", FORGED)
def test_what_is_forged_in_results_and_report_alike_is_found_from_the_cases_of_a_run(
    folder: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, expected = FORGED[what]
    forge(folder, edit)
    code, words = told(capsys, folder)
    assert code == 1, words
    assert re.search(expected, words), words


@pytest.mark.parametrize("what", FORGED)
def test_and_from_the_case_tables_of_a_bundle(bundle: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    edit, expected = FORGED[what]
    forge(bundle, edit)
    code, words = told(capsys, bundle)
    assert words.startswith("level 1 verified"), words
    assert code == 1, words
    assert re.search(expected, words), words


def test_an_edited_value_in_the_ledger_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = sqlite3.connect(folder / "ledger.db")
    key = next(
        unit["key"] for unit in json.loads((folder / "plan.json").read_text())["units"] if unit["analysis"] == "performance"
    )
    asked = "select unit, chunk, vals from measured where metric='logit' and unit=? limit 1"
    unit, chunk, values = ledger.execute(asked, (key,)).fetchone()
    numbers = np.frombuffer(values, "<f8").copy()
    numbers *= -1
    ledger.execute("update measured set vals=? where unit=? and chunk=? and metric='logit'", (numbers.tobytes(), unit, chunk))
    ledger.commit()
    ledger.close()
    code, words = told(capsys, folder)
    assert (code, "results.json, summaries, auroc, performance" in words) == (1, True), words


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda run: (run / "ledger.db").write_bytes(b"not a database, " * 99), "ledger.db: the numbers cannot be made again"),
        (lambda run: (run / "ledger.db").unlink(), "ledger.db: is not there; allowed: a run folder as the run left it"),
        (lambda run: (run / "results.json").write_text("[]"), "results.json: cannot be read as results (TypeError)"),
        (
            lambda run: (run / "results.json").write_bytes(b"\xff"),
            "results.json: cannot be read as results (UnicodeDecodeError)",
        ),
        (lambda run: (run / "plan.json").write_text("{}"), "plan.json: does not hold what auditor writes there (no 'known')"),
    ],
)
def test_a_broken_run_folder_is_refused_in_a_sentence(
    folder: Path, break_it: Callable[[Path], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (folder / name).unlink(missing_ok=True)
    break_it(folder)
    code, words = told(capsys, folder)
    assert (code, message in words, "Traceback" in words) == (2, True, False), words


# the page


def test_one_edited_digit_anywhere_on_the_page_is_found_and_named(whole: Path) -> None:
    made = (whole / "run" / "report.html").read_text(encoding="utf-8")
    plain = [match.span() for match in re.finditer(r"data:[^)\"']+", made)]
    digits = [m.start() for m in re.finditer(r"\d", made) if not any(a <= m.start() < b for a, b in plain)]
    drawn = random.Random(0)
    for place in drawn.sample(digits, 8):
        other = str((int(made[place]) + 1) % 10)
        shown = made[:place] + other + made[place + 1 :]
        found, _ = page.differences(shown, made)
        assert len(found) >= 1, made[place - 60 : place + 20]
        assert found[0].place.startswith("report.html"), found


def test_a_number_edited_in_the_report_alone_is_named_with_section_and_row(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html = (bundle / "report.html").read_text(encoding="utf-8")
    at = html.index("<tbody>")
    number = re.compile(r"<td[^>]*>(0\.\d\d)").search(html, at)
    assert number is not None
    (bundle / "report.html").write_text(html[: number.start(1)] + "0.99" + html[number.end(1) :], encoding="utf-8")
    relist(bundle)
    code, words = told(capsys, bundle)
    assert code == 1, words
    assert "level 2 different: 1 difference found" in words
    assert re.search(
        rf"  report\.html, section '[^']+', tr [^:]+: shows '0\.99.*'; results\.json gives '{number[1]}.*'", words
    ), words


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("<main>", "<main><!-- hidden -->", "report.html, section"),
        ("<main>", "<main hidden>", "report.html, section"),
        ("</style>", "td::after{content:'9'}</style>", "report.html, style"),
        ("<main>", "<main>\n\n", "report.html:"),
        ("<title>", "<title>Not ", "report.html, title"),
    ],
)
def test_what_a_reader_would_see_otherwise_is_found_too(whole: Path, before: str, after: str, place: str) -> None:
    made = (whole / "run" / "report.html").read_text(encoding="utf-8")
    found, _ = page.differences(made.replace(before, after, 1), made)
    assert [difference.place.startswith(place.partition(",")[0]) for difference in found] == [True], found


def test_other_letters_are_undecided(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html = (bundle / "report.html").read_text(encoding="utf-8")
    (bundle / "report.html").write_text(re.sub(r"(data:font/ttf;base64,)....", r"\1AAAA", html, count=1), encoding="utf-8")
    relist(bundle)
    code, words = told(capsys, bundle)
    assert (code, "could not be decided: the letters embedded in report.html" in words) == (3, True), words


def test_a_section_that_auditor_does_not_make_is_undecided_where_plugins_are_not_at_hand(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html = (folder / "report.html").read_text(encoding="utf-8")
    more = "<section><h2>Mine</h2><p>AUROC 1.0</p></section></main>"
    (folder / "report.html").write_text(html.replace("</main>", more), encoding="utf-8")
    code, words = told(capsys, folder)
    assert code == 3, words
    assert (
        "could not be decided: the report has sections that auditor does not make (Mine); if they are of the plugins" in words
    )


# the PDF


def test_a_pdf_must_have_these_results_and_show_these_words(tmp_path: Path) -> None:
    made = "<html lang='en'><title>T</title><h1>Report</h1><p>AUROC 0.81 of Mass</p></html>"

    def found(shown: str, results: str) -> Level:
        write_pdf(shown, tmp_path / "report.pdf", results)
        level = Level(2, "", "")
        paper.check(tmp_path / "report.pdf", b'{"a": 1}', made, level)
        return level

    assert found(made, '{"a": 1}').said == ["report.pdf is byte for byte the one that results.json gives"]
    assert [one.line() for one in found(made, '{"a": 2}').differences] == [
        "report.pdf: the results.json attached to it is not the one beside it"
    ]
    assert [one.line() for one in found(made.replace("0.81", "0.91"), '{"a": 1}').differences] == [
        "report.pdf, page 1: shows '0.91'; results.json gives '0.81'"
    ]
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    level = Level(2, "", "")
    paper.check(tmp_path / "report.pdf", b"", made, level)
    assert [one.place for one in level.differences] == ["report.pdf"]
    assert level.differences[0].says.startswith("cannot be read as a PDF")


# a bundle


def test_a_good_bundle_is_verified_and_says_what_it_could_not_make_again(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, words = told(capsys, bundle)
    assert code == 0, words
    assert words.startswith("level 1 verified")
    assert "level 2 verified" in words
    assert re.search(r"  [\d,]{4,} numbers were made again from cases/ and agree; images stand in another order", words)
    assert re.search(r"  not recomputed: [\d,]+ rows ", words)


def tables(bundle: Path) -> list[Path]:
    return sorted((bundle / "cases").glob("*.csv"))


def change(table: Path, edit: Callable[[list[list[str]]], None]) -> None:
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    edit(rows)
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    relist(table.parent.parent)


def test_two_swapped_patients_are_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def swap(rows: list[list[str]]) -> None:
        header, *cases = rows
        image, patient = header.index("image"), header.index("patient")
        one, other = sorted({case[image] for case in cases if case[0] == "audited"})[:2]
        whose = {case[image]: case[patient] for case in cases}
        assert whose[one] != whose[other]
        for case in cases:
            if case[image] in (one, other):
                case[patient] = whose[other if case[image] == one else one]

    for table in tables(bundle):
        change(table, swap)
    code, words = told(capsys, bundle)
    assert code == 1, words
    assert "results.json, summaries, auroc, performance" in words or "low is" in words


def test_an_edited_score_is_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(rows: list[list[str]]) -> None:
        rows[1][-1] = repr(float(rows[1][-1]) + 3)

    change(bundle / "cases" / "performance.csv", edit)
    code, words = told(capsys, bundle)
    assert (code, "from the cases it is" in words) == (1, True), words


def _cell(column: str, value: str) -> Callable[[list[list[str]]], None]:
    def edit(rows: list[list[str]]) -> None:
        rows[1][rows[0].index(column)] = value

    return edit


def _without_patient(rows: list[list[str]]) -> None:
    for cells in rows:
        del cells[3]


def _twice(rows: list[list[str]]) -> None:
    rows.append(rows[1])


def _short(rows: list[list[str]]) -> None:
    rows[1].pop()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_cell("logit", "nan"), "performance.csv:2: logit: found 'nan'; allowed: a finite number, undefined, or an empty cell where none was asked for"),
        (_cell("logit", "1_0"), "performance.csv:2: logit: found '1_0'; allowed: a finite number"),
        (_cell("logit", "1e999"), "performance.csv:2: logit: found '1e999'; allowed: a finite number"),
        (_cell("label", "2"), "performance.csv:2: label: found '2'; allowed: 1, 0, (empty)"),
        (_cell("split", "audit"), "performance.csv:2: split: found 'audit'; allowed: audited, training; did you mean audited?"),
        (_cell("class", "Comon"), "performance.csv:2: class: found 'Comon'; allowed: Common, Rare, (image); did you mean Common?"),
        (_cell("patient", "nobody"), "patient: found"),
        (_without_patient, "performance.csv:1: column 4: found 'class'; allowed: 'patient'"),
        (_twice, "a second time; allowed: each case once"),
        (_short, "performance.csv:2: found 7 cells; allowed: 8, as in the first line"),
        (lambda rows: rows[0].append("made_up"), "performance.csv:1: found the column 'made_up'; allowed: a metric of results.json"),
    ],
)  # fmt: skip
def test_a_hostile_table_is_refused_in_a_sentence(
    bundle: Path, edit: Callable[[list[list[str]]], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(bundle / "cases" / "performance.csv", edit)
    code, words = told(capsys, bundle)
    assert (code, message in words, "internal error" in words) == (2, True, False), words


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'"unclosed', b"", b"a" * 200_000])
def test_what_is_no_table_is_refused_in_a_sentence(bundle: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / "cases" / "performance.csv").write_bytes(content)
    relist(bundle)
    code, words = told(capsys, bundle)
    assert (code, "cases/performance.csv" in words, "internal error" in words) == (2, True, False), words


def test_a_class_cannot_be_called_withheld_while_its_cases_are_there(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forge(bundle, lambda results: results["audit"]["shared"].update(classes_withheld=["Rare"]))
    code, words = told(capsys, bundle)
    assert (code, "results.json, audit, shared: says that Rare is withheld; its cases are in cases/" in words) == (1, True), (
        words
    )


# level 3


def test_the_networks_give_the_same_values_again(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = told(capsys, whole / "run", "--level", 3, "--audit", whole / "audit.yaml", "--batches", 1)
    assert code == 0, words
    assert "level 3 verified: the networks and the images at hand give the values that were kept" in words
    assert re.search(
        r"few · fitted · seed 0: [\d,]+ values of images in part \d of 3: [\d,]+ are the same to the last bit", words
    )


def test_other_networks_and_other_values_are_found(
    folder: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audit.yaml").write_text(AUDIT.replace("images: 400,", "images: 399,"))
    code, words = told(capsys, folder, "--level", 3, "--audit", tmp_path / "audit.yaml")
    assert code == 1, words
    assert re.search(
        r"plan\.json, models\[1\], digest: is \"fitted-400-.*\"; with the audit\.yaml at hand it is \"fitted-399-", words
    ), words


@pytest.mark.slow
def test_a_value_that_the_network_does_not_give_is_named(folder: Path, whole: Path) -> None:
    ledger = sqlite3.connect(folder / "ledger.db")
    found = ledger.execute("select unit, chunk, vals from measured where metric='logit'").fetchall()
    for unit, chunk, values in found:
        numbers = np.frombuffer(values, "<f8") * 1.5
        ledger.execute(
            "update measured set vals=? where unit=? and chunk=? and metric='logit'", (numbers.tobytes(), unit, chunk)
        )
    ledger.commit()
    ledger.close()
    level = rerun.check(folder, whole / "audit.yaml", 1, 0)
    assert level.outcome == "different"
    assert re.fullmatch(
        r"few · fitted · seed 0, performance, logit, test-\d+, Common: -?\d[\d.e-]+ was kept; this time it is -?\d[\d.e-]+",
        level.differences[0].line(),
    )


def test_a_bundle_has_no_level_3(bundle: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = told(capsys, bundle, "--level", 3, "--audit", whole / "audit.yaml")
    assert (code, "level 3 needs the run folder" in words) == (2, True)


# what a bundle tells in other words, or draws otherwise


def test_a_note_is_the_same_without_what_is_drawn_and_without_counts_of_few(evidence: Evidence) -> None:
    alike = drawn.Alike(evidence, 1e-9)
    contrast: dict[str, Any] = {"metric": "auroc", "class": "Mass"}

    def same(one: str | None, other: str | None) -> bool:
        return alike("comparisons", contrast, "note", one, other)

    dropped = "1 of 9,999 resamples dropped: a class had no positives or no negatives"
    assert same(f"fewer than 20 patients; {dropped}", "fewer than 20 patients")
    assert same(None, dropped)
    assert same(
        "fewer than 5 of 12 cases left out: no value in every network", "1 of 12 cases left out: no value in every network"
    )
    assert not same("fewer than 20 patients", "fewer than 10 patients")
    assert not same(None, "10 of 12 cases left out: no value in every network")


@pytest.mark.parametrize(
    ("single", "joint", "made", "is_alike"),
    [(0.1, 0.3, 0.4, True), (0.1, 0.3, 0.45, False), (0.1, 5.0, 9.0, True), (0.1, 5.0, 11.0, False)],
)
def test_a_joint_interval_agrees_to_within_what_draws_allow(
    single: float, joint: float, made: float, is_alike: bool, evidence: Evidence
) -> None:
    contrast = {"metric": "brier", "class": "Mass", "low": -single, "high": single, "joint_low": -joint, "joint_high": joint}
    assert drawn.Alike(evidence, 1e-9)("comparisons", contrast, "joint_high", joint, made) is is_alike


def test_undefined_and_not_asked_for_are_told_apart(whole: Path, bundle: Path) -> None:
    """A case without a logit was not measured for it; one with an undefined logit was, and has no value."""
    evidence = Evidence.from_json((whole / "run" / "results.json").read_text())

    def first(cell: str) -> np.ndarray[Any, Any]:
        change(bundle / "cases" / "performance.csv", _cell("logit", cell))
        part = next(part for part in case_tables.read(bundle, evidence).parts if part.analysis == "performance")
        number = {image: place for place, image in enumerate(sorted(set(part.images)))}
        return bundle_numbers._values(part, number, evidence.dataset["classes"])["logit"].value

    known, not_asked, undefined = (first(cell) for cell in ("0.5", "", "undefined"))
    assert (len(not_asked), len(undefined)) == (len(known) - 1, len(known))
    assert (np.isnan(not_asked).sum(), np.isnan(undefined).sum()) == (0, 1)
