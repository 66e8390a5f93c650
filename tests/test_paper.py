"""What the PDF leaves to the HTML: never a number over all classes, never without saying so."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pypdf
import pytest
from auditor_plugins.sections import discrimination, methods, summary
from hypothesis import given
from hypothesis import strategies as st

from auditor import report
from auditor.evidence import Evidence
from auditor.paper import shorten
from auditor.registry import Registry
from auditor.wording import signed


def shortened(markup: str) -> str:
    page = ElementTree.fromstring(f"<body>{markup}</body>")
    shorten(page)
    return re.sub(r"\s+", " ", ElementTree.tostring(page, encoding="unicode")).removeprefix("<body>").removesuffix("</body>")


def note(words: str) -> str:
    return f'<p class="note left-out">Only in report.html: {words}.</p>'


def test_what_is_left_out_under_a_heading_shares_one_note_at_the_end_of_its_part() -> None:
    page = (
        '<section><h4>A</h4><p>says</p><figure data-paper="skip"><figcaption>c</figcaption></figure>'
        '<div class="scroll"><table><caption><b>Differences.</b></caption><tbody><tr><td>all</td></tr>'
        '<tr data-paper="skip"><td>1</td></tr><tr data-paper="skip"><td>2</td></tr></tbody></table></div>'
        '<div class="scroll" data-paper="skip"><table><caption><b>Levels.</b> more</caption><tbody><tr><td>3</td></tr></tbody></table></div>'
        "<h4>B</h4><p>kept</p></section>"
    )
    assert shortened(page) == (
        '<section><h4>A</h4><p>says</p><div class="scroll"><table><caption><b>Differences.</b></caption><tbody><tr><td>all</td></tr>'
        f"</tbody></table></div>{note('1 chart; 2 rows; Levels (1 row)')}<h4>B</h4><p>kept</p></section>"
    )


def test_many_tables_are_counted_and_not_named() -> None:
    table = '<div data-paper="skip"><table><caption><b>T.</b></caption><tbody/></table></div>'
    assert shortened(f"<section>{table * 4}</section>") == f"<section>{note('4 tables')}</section>"
    assert note("T (0 rows); T (0 rows); T (0 rows)") in shortened(f"<section>{table * 3}</section>")


def test_pictures_and_cards_are_counted_where_they_were_and_footnotes_go_unmentioned() -> None:
    pictures = '<div><figure class="case">1</figure><figure class="case" data-paper="skip">2</figure></div>'
    assert shortened(pictures) == f'<div><figure class="case">1</figure>{note("1 picture")}</div>'
    assert shortened('<div><div class="card" data-paper="skip">1</div></div>') == f"<div>{note('1 card')}</div>"
    assert shortened('<div><p class="note" data-paper="skip">1</p></div>') in ("<div />", "<div/>")


@given(
    st.lists(st.tuples(st.sampled_from(["p", "h4", "figure", "div"]), st.booleans(), st.text("abc ", max_size=4)), max_size=8)
)
def test_nothing_unmarked_is_lost_or_moved_and_nothing_marked_stays(parts: list[tuple[str, bool, str]]) -> None:
    page = ElementTree.Element("body")
    for number, (tag, skipped, tail) in enumerate(parts):
        child = ElementTree.SubElement(page, tag, {"data-paper": "skip"} if skipped else {})
        child.text, child.tail = f"[{number}]", tail
    shorten(page)
    found = "".join(part for part in page.itertext() if "Only in report.html" not in part)
    wanted = "".join(
        f"{'' if skipped else f'[{number}]'}{tail if tail.strip() or not skipped else ''}"
        for number, (_, skipped, tail) in enumerate(parts)
    )
    assert found == wanted
    assert [child.get("class") for child in page].count("note left-out") == (1 if any(s for _, s, _ in parts) else 0) or any(
        tag == "h4" for tag, _, _ in parts
    )


class Printed(HTMLParser):
    """A page as the tree that WeasyPrint is given, without needing WeasyPrint."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self._builder = ElementTree.TreeBuilder()
        self.feed(page)
        self.tree = self._builder.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in report.VOID:
            self._builder.end(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._builder.start(tag, {name: value or "" for name, value in attrs})
        self._builder.end(tag)

    def handle_endtag(self, tag: str) -> None:
        self._builder.end(tag)

    def handle_data(self, data: str) -> None:
        self._builder.data(data)


def on_paper(evidence: Evidence) -> str:
    """The words of a PDF of three sections."""
    sections = [summary.Summary, discrimination.Discrimination, methods.Methods]
    tree = Printed(report.render_html(evidence, sections)[0]).tree
    shorten(tree)
    return re.sub(r"\s+", " ", " ".join(tree.itertext()))


@pytest.fixture(scope="module")
def performance(evidence: Evidence) -> Evidence:
    """The example without its maps and units, quick to render."""
    mine = {"summaries", "comparisons", "repeated"}
    return replace(
        evidence, **{name: tuple(r for r in getattr(evidence, name) if r.analysis == "performance") for name in mine}
    )


@pytest.fixture
def no_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_font", lambda file, letters: "")


def asking(evidence: Evidence, *metrics: str) -> Evidence:
    claims = {**(evidence.audit.get("claims") or {}), "primary": list(metrics)}
    return replace(evidence, gates=(), audit={**evidence.audit, "claims": claims})


def told(evidence: Evidence, words: str, metric: str, *, overall: bool) -> list[bool]:
    """For each contrast of a metric, over classes or of single ones, whether its number is printed."""
    rows = [row for row in evidence.contrasts(metric) if row.difference is not None and row.low is not None]
    return [
        f"{signed(row.difference)} ({signed(row.low)}" in words for row in rows if row.class_name.startswith("(") == overall
    ]  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_font")
def test_paper_holds_every_contrast_over_all_classes_and_single_classes_of_what_is_asked_about(performance: Evidence) -> None:
    evidence = performance
    words = on_paper(asking(evidence, "auroc"))
    assert all(told(evidence, words, "auroc", overall=True))
    assert all(told(evidence, words, "auroc", overall=False))
    others = [m for m in dict.fromkeys(row.metric for row in evidence.contrasts(analysis="performance")) if m != "auroc"]
    assert others
    for metric in others:
        assert all(told(evidence, words, metric, overall=True))
        assert not any(told(evidence, words, metric, overall=False))
    assert "Only in report.html: 1 chart; 6 rows" in words


@pytest.mark.usefixtures("no_font")
def test_what_is_asked_about_decides_what_is_printed(performance: Evidence) -> None:
    evidence = performance
    words = on_paper(asking(evidence, "average_precision"))
    assert all(told(evidence, words, "average_precision", overall=False))
    assert not any(told(evidence, words, "auroc", overall=False))


@pytest.mark.usefixtures("no_font")
def test_page_one_is_printed_whole(evidence: Evidence) -> None:
    page = Printed(report.render_html(evidence, [summary.Summary])[0]).tree
    before = "".join(page.itertext())
    shorten(page)
    assert "".join(page.itertext()) == before


@pytest.mark.slow
def test_the_pdf_of_a_whole_audit_is_short_tagged_and_holds_what_page_one_claims(evidence: Evidence, tmp_path: Path) -> None:
    page, failures = report.render_html(evidence, Registry().all("sections").values())
    assert failures == []
    results = evidence.to_json()
    report.write_pdf(page, tmp_path / "report.pdf", results)
    pdf = pypdf.PdfReader(tmp_path / "report.pdf")
    assert len(pdf.pages) <= PAGES
    root: Any = pdf.trailer["/Root"]
    assert (root["/Lang"], root["/MarkInfo"]["/Marked"]) == ("en", True)
    assert b"pdfuaid" in root["/Metadata"].get_data()
    assert list(pdf.attachments) == ["results.json"]
    assert pdf.attachments["results.json"][0].decode() == results
    words = re.sub(r"\s+", " ", " ".join(sheet.extract_text() for sheet in pdf.pages))
    headings = re.findall(r'<h2 id="part-[\w-]+-title"><span class="number">\d+</span>([^<]+)</h2>', page)
    assert len(headings) > 15
    for heading in headings:
        assert any(html.unescape(heading) in title for title in bookmarks(pdf.outline)), heading
    claimed = summary.main_findings(evidence, [finding for finding in evidence.findings if finding.kind == "result"])
    assert claimed
    assert all(sentence in words for sentence in summary.Summary().context(evidence)["main"])
    for finding in claimed:
        rows = evidence.contrasts(finding.metric, class_name=finding.class_name)
        numbers = [signed(row.difference) for row in rows if row.strategy == finding.strategy and row.difference is not None]
        assert numbers
        assert all(number in words for number in numbers)
    for finding in evidence.findings:
        if finding.kind in ("alarm", "caution"):
            assert finding.text in words
    assert "Only in report.html: " in words


PAGES = 45
"""A report that is read on paper."""


def bookmarks(outline: Any) -> list[str]:
    """The titles of all levels."""
    return [title for item in outline for title in (bookmarks(item) if isinstance(item, list) else [str(item.title)])]
