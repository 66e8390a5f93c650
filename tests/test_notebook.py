"""A finished run in a notebook: tables as columns, names that help, a summary that is safe to show."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from auditor_plugins.sections import summary
from example import EXAMPLE

import auditor
from auditor.errors import AuditError
from auditor.evidence import Evidence
from auditor.notebook import LoadedAudit
from auditor.overview import main_findings


@pytest.fixture(scope="module")
def audit() -> LoadedAudit:
    return auditor.load(EXAMPLE)


def test_a_table_has_the_columns_and_rows_of_results_json(audit: LoadedAudit) -> None:
    written = json.loads(EXAMPLE.read_text())
    for name in ("summaries", "comparisons", "findings", "gaps", "gates"):
        table, rows = getattr(audit, name), written[name]
        assert len(rows) > 0
        assert {key: [row[key] for row in rows] for key in rows[0]} == table


def test_an_empty_table_keeps_its_columns(audit: LoadedAudit) -> None:
    none = replace(audit, evidence=replace(audit.evidence, gaps=()))
    assert {key: [] for key in audit.gaps} == none.gaps


def test_pandas_takes_a_table_as_it_is(audit: LoadedAudit) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(audit.summaries)
    assert len(frame) == len(audit.evidence.summaries)
    assert list(frame.columns) == list(audit.summaries)


def test_select_keeps_the_rows_of_all_that_is_asked(audit: LoadedAudit) -> None:
    table = audit.select(metric="auroc", strategy="focal").select(class_name="(macro)").comparisons
    wanted = [
        row.difference
        for row in audit.evidence.comparisons
        if (row.metric, row.strategy, row.class_name) == ("auroc", "focal", "(macro)")
    ]
    assert table["difference"] == wanted
    assert len(wanted) == 1
    assert len(audit.evidence.comparisons) > 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"metric": "aurok"}, r"no metric is called 'aurok'; allowed: .*; did you mean auroc\?"),
        ({"strategy": "focale"}, r"no strategy is called 'focale'; allowed: bce, wbce, focal, cb_focal; did you mean focal\?"),
        ({"class_name": "Effusio"}, r"no class is called 'Effusio'; allowed: .*; did you mean Effusion\?"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(audit: LoadedAudit, asked: dict[str, str], said: str) -> None:
    with pytest.raises(AuditError, match=said):
        audit.select(**asked)


def test_what_was_selected_cannot_be_selected_otherwise(audit: LoadedAudit) -> None:
    with pytest.raises(AuditError, match="no metric is called 'average_precision'; allowed: auroc"):
        audit.select(metric="auroc").select(metric="average_precision")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"found no results.json; allowed: the folder of a finished run"):
        auditor.load(tmp_path)
    for text in ("{", "[]", '{"schema_version": 1}', "3"):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(AuditError, match="cannot be read as the results of an audit"):
            auditor.load(tmp_path)


def test_without_the_run_folder_there_are_no_cases(audit: LoadedAudit) -> None:
    with pytest.raises(AuditError, match=r"found no ledger.db beside results.json"):
        _ = audit.cases


def test_it_is_read_only(audit: LoadedAudit) -> None:
    with pytest.raises(AttributeError):
        audit.folder = Path()  # type: ignore[misc]


def test_the_main_findings_are_those_of_the_report(audit: LoadedAudit) -> None:
    results = [finding for finding in audit.evidence.findings if finding.kind == "result"]
    assert main_findings(audit.evidence) == summary.main_findings(audit.evidence, results)
    assert len(main_findings(audit.evidence)) == 3


def test_text_and_html_say_the_same_contrasts_and_failures(audit: LoadedAudit) -> None:
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", audit._repr_html_()))
    for line in repr(audit).splitlines():
        if " | " in line:
            assert all(cell.strip() in page for cell in line.split("|"))
    alarms = [finding.text for finding in audit.evidence.findings if finding.kind == "alarm"]
    assert alarms
    for text in alarms:
        assert text in repr(audit)
        assert text in page
    assert f"{len(audit.evidence.gaps)} gaps" in page
    passed = sum(row.outcome == "passed" for row in audit.evidence.gates)
    assert passed > 0
    assert all(f"{passed} passed" in told for told in (page, repr(audit)))
    unmet = [row.sentence for row in audit.evidence.gates if row.outcome == "failed" and row.tier == "blocking"]
    assert all(sentence in page for sentence in unmet)


def test_a_contrast_on_maps_that_failed_a_check_is_marked(audit: LoadedAudit) -> None:
    stamped = [row for row in audit.evidence.comparisons if "sanity check" in (row.note or "")]
    assert stamped
    (attribution,) = {row.attribution for row in stamped} & set(audit.evidence.stamps())
    assert attribution == "gradcam"
    assert "Grad-CAM (failed a sanity check)" in repr(audit)
    clean = replace(audit, evidence=replace(audit.evidence, controls=()))
    assert "(failed a sanity check)" not in repr(clean)


def test_where_nothing_is_contrasted_the_numbers_of_the_networks_are_told(audit: LoadedAudit) -> None:
    (auroc,) = audit.select(metric="auroc", class_name="(macro)", strategy="bce").summaries["value"][:1]
    alone = replace(audit, evidence=replace(audit.evidence, comparisons=()))
    assert f"AUROC of bce-0: {auroc:.3f}" in repr(alone)
    assert f"AUROC of bce-0: {auroc:.3f}" in alone._repr_html_()
    assert "AUROC of bce-0" not in repr(audit)
    nothing = replace(alone, evidence=replace(alone.evidence, summaries=()))
    assert "No overall contrast has a number" in nothing._repr_html_()


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag, tuple(name for name, _ in attrs)] += 1
        assert tag not in ("script", "style", "link", "img", "iframe")
        assert all("url(" not in (value or "") and "var(" not in (value or "") for _, value in attrs)


HOSTILE = (
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "</td></table><img src=x onerror=alert(1)>",
    "\u202egnp",
    "{{ 1234567 * 9 }}",
)


@pytest.mark.parametrize("bad", HOSTILE)
def test_hostile_names_change_no_element_of_the_summary(audit: LoadedAudit, bad: str) -> None:
    text = EXAMPLE.read_text()
    calm = Page(audit._repr_html_()).elements
    for name in ("focal", "Class imbalance and learned features in chest radiographs", "gradcam"):
        assert json.dumps(name) in text
        text = text.replace(json.dumps(name), json.dumps(bad))
    changed = json.loads(text)
    for finding in changed["findings"]:
        finding["text"] = bad
    hostile = LoadedAudit(Evidence.from_json(json.dumps(changed)))
    page = hostile._repr_html_()
    assert Page(page).elements == calm
    assert "\u202e" not in page
    assert "\u202e" not in repr(hostile)
    assert "11111103" not in page


@pytest.mark.slow
def test_cases_are_the_values_that_the_numbers_are_made_of(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    from auditor.cli import main

    assert main(["run", str(write_audit(analyses="[performance]", attributions="[]")), "-q"]) == 0
    found = auditor.load(tmp_path / "audit-run").select(metric="probability", strategy="focal", class_name="Mass")
    (mean,) = found.summaries["value"]
    values = found.cases["value"]
    assert len(values) == found.summaries["n"][0] > 1
    assert sum(values) / len(values) == pytest.approx(mean, abs=1e-12)
    assert set(found.cases["class"]) == {"Mass"}
    assert set(found.cases["strategy"]) == {"focal"}
    assert {len(column) for column in found.cases.values()} == {len(values)}
