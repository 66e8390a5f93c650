"""A diff as JUnit XML: a test case per gate, per metric whose numbers changed, and for the comparison itself.

A blocking gate that failed is a failure; one that is inconclusive or had nothing to evaluate, and a comparison that is
incomplete, are errors; an advisory gate that did not pass is skipped with its sentence. So failures answer to exit code 1 and
errors alone to 3. Numbers that changed fail nothing by themselves.
"""

from __future__ import annotations

from collections import defaultdict
from xml.etree import ElementTree

from ..gated import GateOutcome
from ..wording import clean_label, how_many, visible
from . import told
from .changes import Change
from .difference import Difference

SUITE = "auditor diff"


def junit(found: Difference) -> bytes:
    """The document, UTF-8, in the shape that CI servers read: testsuites, testsuite, testcase."""
    suite = ElementTree.Element("testsuite", name=SUITE)
    _comparison(suite, found)
    for number, row in enumerate(found.gates, 1):
        _gate(suite, number, row)
    for (metric, attribution), members in _families(found).items():
        _family(suite, found, metric, attribution, members)
    counts = {kind: len(suite.findall(f"testcase/{tag}")) for kind, tag in
              (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))}  # fmt: skip
    totals = {"tests": len(suite), **counts}
    suite.set("time", "0")
    root = ElementTree.Element("testsuites", name=SUITE, time="0")
    for name, count in totals.items():
        suite.set(name, str(count))
        root.set(name, str(count))
    root.append(suite)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: ElementTree.Element, kind: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=f"auditor.diff.{kind}", name=clean_label(name, 200), time="0")


def _tell(case: ElementTree.Element, tag: str, message: str, body: str = "") -> None:
    """A failure, an error or a skip with its sentence."""
    found = ElementTree.SubElement(case, tag, message=clean_label(message, 400))
    if tag != "skipped":
        found.set("type", tag)
    found.text = visible(body or message)


def _comparison(suite: ElementTree.Element, found: Difference) -> None:
    case = _case(suite, "comparison", "the audits can be compared")
    problems = (
        list(told.warnings(found))
        if found.why_not or found.incomplete or found.altered or (found.notes and not found.gates)
        else []
    )
    if problems:
        _tell(case, "error", problems[0], "\n".join(problems))


def _gate(suite: ElementTree.Element, number: int, row: GateOutcome) -> None:
    case = _case(suite, "gate", f"{number}: gate {row.gate}, {row.sentence.partition(':')[0]}")
    if row.outcome == "passed":
        ElementTree.SubElement(case, "system-out").text = visible(row.sentence)
    elif row.tier == "advisory":
        _tell(case, "skipped", f"advisory, {row.outcome}: {row.sentence}")
    else:
        _tell(case, "failure" if row.outcome == "failed" else "error", f"{row.outcome}: {row.sentence}")


def _families(found: Difference) -> dict[tuple[str, str | None], list[Change]]:
    families: dict[tuple[str, str | None], list[Change]] = defaultdict(list)
    for change in found.changes:
        families[change.row.metric, change.row.attribution].append(change)
    return families


def _family(suite: ElementTree.Element, found: Difference, metric: str, attribution: str | None, members: list[Change]) -> None:
    on = f" with {attribution}" if attribution else ""
    case = _case(suite, "changed", f"{metric}{on}: {how_many(len(members), 'number')} changed")
    lines = [f"{told.verdict(found, change)}: {told.what(change)}, {change.who}: {told.said(change)}" for change in members]
    ElementTree.SubElement(case, "system-out").text = "\n".join(clean_label(one, 300) for one in lines)
