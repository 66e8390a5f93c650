"""The report as a whole: one safe page that needs nothing else, the same bytes twice, and a tagged PDF."""

from __future__ import annotations

import base64
import hashlib
import html
import http.server
import itertools
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pypdf
import pytest
from auditor_plugins.sections import (
    changes,
    concepts,
    controls,
    data,
    discrimination,
    gaps,
    limits,
    methods,
    other,
    oversight,
    provenance,
    reference_standard,
    strategies,
    summary,
    title_block,
    where_it_looks,
)
from example import EXAMPLE

from auditor import Section, report
from auditor.errors import ConfigError, MissingLibrary, OutputError, PluginError
from auditor.evidence import Evidence, Finding, Gap, Picture
from auditor.pictures import save
from auditor.registry import Registry

MODULES = (
    title_block, summary, data, reference_standard, strategies, discrimination, controls, where_it_looks, concepts, other,
    limits, gaps, oversight, methods, provenance, changes,
)  # fmt: skip
SECTIONS: list[type[Section]] = [module.register_sections()[0] for module in MODULES]
HOSTILE = (
    "<script>alert(1)</script>", '" onmouseover="alert(1)', "'><img src=x onerror=alert(1)>", "javascript:alert(1)", "</style><b>",
    "{{ 7 * 7 }}", "{% raw %}", "\u202egnp.exe", "]]><svg/onload=alert(1)>", "--><iframe src='http://x.test'>", "&lt;b&gt;", "\x00\x1b[31m",
    "a" * 300, "=cmd|' /C calc'!A0", "$\\frac{1}$", "\ud800", "<p>" * 20, "http://x.test/a.png", "url(http://x.test)", "@import 'x'",
)  # fmt: skip


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))


class Elements(HTMLParser):
    """The multiset of (element, attribute names) of a page, and its links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.links: list[str] = []
        self.headings: list[int] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag, tuple(sorted(name for name, _ in attrs))] += 1
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


def small(evidence: Evidence) -> Evidence:
    """Two strategies and two classes of the example, quick to print."""
    return replace(
        evidence,
        models=evidence.models[:4],
        summaries=tuple(s for s in evidence.summaries if s.strategy in ("bce", "wbce") and s.attribution != "gradcam"),
        comparisons=tuple(c for c in evidence.comparisons if c.strategy == "wbce" and c.attribution != "gradcam"),
    )


def with_name(evidence: Evidence, name: str) -> Evidence:
    """The example with one text in every place that a stranger can fill."""
    hot = np.eye(7, dtype=np.float32)
    return replace(
        evidence,
        audit={**evidence.audit, "title": name, "attributions": [{"use": name, "options": {"layer": name}}], "plugins": [name],
               "card": {"system": {"name": name, "intended_use": [name, name]}, "data": {"sites": [name, name]}, "signers": name}},
        dataset={**evidence.dataset, "use": name, "notes": [name], "options": {name: name},
                 "described": {"audited": {name: {"known": 3, "counts": {name: 3}}}}, "classes": [name], "counts": {name: {"positive": 3, "negative": 4}},
                 "train": {"images": 9, "positives": {name: 2}}},
        models=({**evidence.models[0], "family": name, "digest": name, "layers": {"attribution": name}, "error": name},),
        metrics={metric: {**told, "says": name, "unit": name, "reference": name} for metric, told in evidence.metrics.items()},
        summaries=tuple(replace(s, class_name=name) for s in evidence.summaries if s.class_name in ("Mass", "Hernia") and s.model == "bce-0"),
        comparisons=tuple(
            replace(c, class_name=name, family=name, note=name if c.note else None, missing=name if c.missing else None, verdict=name)
            for c in evidence.comparisons
            if c.class_name == "Mass" and c.strategy == "wbce"
        ),
        findings=(Finding("alarm", name), Finding("result", name), Finding("note", name)),
        gaps=(Gap("bce-0", "alignment", "cam", name, name, 3),),
        accounting={**evidence.accounting, "quarantined": [{"id": name, "reason": name, "detail": name}],
                    "boxes": {"listed": 1, "used": 0, "quarantined": [{"id": name, "class": name, "reason": name}]}},
        environment={"packages": {name: name}},
        pictures=(Picture(name, name, ((0.1, 0.1, 0.5, 0.5),), np.zeros((32, 32), np.uint8), {"cam": {"bce-0": hot}}),),
    )  # fmt: skip


class Broken(Section):
    """Fails as a stranger's section might."""

    name, title, template, order = "broken", "Broken", "<p>{{ never }}</p>", 35

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        raise KeyError("bins")


def inline(text: str, **context: Any) -> type[Section]:
    class Inline(Section):
        name, title, template, order = "inline", "Inline", text, 99

        def context(self, evidence: Evidence) -> Mapping[str, Any]:
            return context

    return Inline


@lru_cache(maxsize=1)
def benign_elements() -> Counter[tuple[str, tuple[str, ...]]]:
    """What the page is made of when the same places hold an ordinary name."""
    example = Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))
    page, failures = report.render_html(with_name(example, "Effusion X"), [*SECTIONS, inline("<p>{{ a }}</p>", a="Mass")])
    assert failures == []
    return Elements(page).found


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_leaves_elements_and_attributes_as_they_were(
    evidence: Evidence, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_font", lambda file, letters: "")
    hostile, _ = report.render_html(with_name(evidence, name), [*SECTIONS, inline("<p>{{ a }}</p>", a=name)])
    assert Elements(hostile).found == benign_elements()
    hostile.encode("utf-8")


def test_the_page_holds_all_it_needs_and_no_script_but_ours(evidence: Evidence) -> None:
    page, _ = report.render_html(with_name(evidence, "Mass"), SECTIONS)
    parsed = Elements(page)
    tags = {tag for tag, _ in parsed.found}
    assert not tags & {"link", "iframe", "object", "form", "input", "select", "button"}
    assert not [name for _, names in parsed.found for name in names if name.startswith("on")]
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in parsed.links)
    assert not re.search(r"https?://|@import|url\((?!data:font/ttf)", page)
    (script,) = re.findall(r"<script[^>]*>(.*?)</script", page, re.S)
    assert "<script>" + script in page
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in html.unescape(page)
    assert len(script.encode()) < 8192


def test_headings_descend_one_step_at_a_time_and_the_contents_lead_to_every_section(evidence: Evidence) -> None:
    page, _ = report.render_html(evidence, SECTIONS)
    levels = Elements(page).headings
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    targets = re.findall(r'<li><a href="#(part-\w+)"', page)
    assert targets == re.findall(r'<section id="(part-\w+)"', page)
    assert '<html lang="en">' in page
    assert re.search(r"nav a \{[^}]*min-height: 24px", page)


def test_every_table_has_a_caption_and_scoped_headers_and_every_picture_a_title(evidence: Evidence) -> None:
    page, _ = report.render_html(with_name(evidence, "Mass"), SECTIONS)
    assert page.count("<table") == page.count("<caption>")
    assert not re.search(r"<th(?![^>]*scope=)[ >]", page)
    assert len(re.findall(r"<svg ", page)) == len(re.findall(r"<svg [^>]*><title>[^<]+</title>", page))


def test_the_same_evidence_gives_the_same_bytes(evidence: Evidence) -> None:
    assert report.render_html(evidence, SECTIONS) == report.render_html(evidence, list(reversed(SECTIONS)))


def test_a_section_that_raises_is_boxed_and_the_others_stand(evidence: Evidence) -> None:
    whole, _ = report.render_html(evidence, SECTIONS)
    page, failures = report.render_html(evidence, [*SECTIONS, Broken])
    assert [tuple(failure) for failure in failures] == [("broken", "KeyError: 'bins'")]
    assert "this section failed: KeyError: &#39;bins&#39;" in page
    for module in MODULES:
        if module is not other:
            assert module.register_sections()[0].title in page
    table = re.search(r"<caption><b>AUROC by network.*?</table>", whole, re.S)
    assert table
    assert table[0] in page


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("<script>1</script>", "PluginError: the section writes <script>"),
        ("<p onclick='x'>a</p>", "event handler onclick"),
        ("<a href='https://x.test'>a</a>", "links only within itself"),
        ("<img src='http://x.test/a.png' alt=''>", "links only within itself"),
        ("<p style='background: url(file:///etc/passwd)'>a</p>", "loads something in a style"),
        ("<a rel='attachment' href='data:image/png;base64,aaaa'>a</a>", "links only within itself"),
        ("<table><tr><td colspan='100000000'>a</td></tr></table>", "colspan='100000000'; it is a number up to 1000"),
        ("<table><tr><td rowspan='1001'>a</td></tr></table>", "rowspan='1001'"),
        ("<div>" * 5000 + "</div>" * 5000, "nests elements more than 100 deep"),
        ("<div><p>a</p>", "leaves <div> open"),
        ("a</section><p>", "closes <section> where it is not open"),
        ("<p>{{ nowhere }}</p>", "UndefinedError"),
        ("<p>{{ empty }}</p>", "a template prints None"),
        ("<p>{{ nan }}</p>", "a template prints nan"),
        ("nowhere.html", "TemplateNotFound"),
        ("<p>{% if %}</p>", "TemplateSyntaxError"),
    ],
)
def test_markup_that_a_report_must_not_hold_fails_its_section(evidence: Evidence, template: str, error: str) -> None:
    section = inline(template, empty=None, nan=float("nan"))
    page, failures = report.render_html(evidence, [section, methods.Methods])
    assert [failure.section for failure in failures] == ["inline"]
    assert error in failures[0].error
    assert "Metric cards" in page
    with pytest.raises(Exception, match=r".+") as caught:
        report.section_body(report.new_environment(), section, evidence)
    assert isinstance(caught.value, PluginError) == ("the section" in failures[0].error)


def test_filters_of_a_plugin_reach_the_templates_and_blank_sections_are_left_out(evidence: Evidence) -> None:
    def prepare(environment: Any) -> list[str]:
        environment.filters["shout"] = str.upper
        return []

    page, failures = report.render_html(evidence, [inline("<p>{{ a | shout }}</p>", a="loud")], prepare=prepare)
    assert failures == []
    assert "<p>LOUD</p>" in page
    blank, _ = report.render_html(evidence, [inline("{% if false %}<p></p>{% endif %}")])
    assert "part-1-title" not in blank


@pytest.fixture
def run(tmp_path: Path, evidence: Evidence) -> Path:
    (tmp_path / "results.json").write_text(small(evidence).to_json(), encoding="utf-8")
    hot = np.eye(7, dtype=np.float32)
    save(tmp_path, [Picture("case 1", "Mass", ((0.1, 0.1, 0.5, 0.5),), np.zeros((64, 64), np.uint8), {"cam": {"bce-0": hot}})])
    return tmp_path


class FakeRegistry:
    """The two things that report asks of a registry."""

    hook = Registry().hook

    def __init__(self, sections: list[type[Section]]) -> None:
        self._sections = sections

    def all(self, kind: str) -> dict[str, type[Section]]:
        assert kind == "sections"
        return {section.name: section for section in self._sections}


def test_the_pdf_is_tagged_titled_bookmarked_and_holds_the_numbers(run: Path, evidence: Evidence) -> None:
    written, failures = report.render(
        run, ("html", "pdf"), FakeRegistry([summary.Summary, discrimination.Discrimination, where_it_looks.WhereItLooks])
    )
    assert failures == []
    assert list(written) == ["html", "pdf"]
    pdf = pypdf.PdfReader(written["pdf"])
    root: Any = pdf.trailer["/Root"]
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert pdf.metadata is not None
    assert pdf.metadata.title == evidence.audit["title"]
    assert b"pdfuaid" in root["/Metadata"].get_data()
    assert "/StructTreeRoot" in root
    titles = [item.title for item in pdf.outline[0:1] if not isinstance(item, list)] + [
        i.title for i in pdf.outline[1] if not isinstance(i, list)
    ]  # type: ignore[union-attr,index]
    assert any("Discrimination" in str(title) for title in titles)
    words = re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pdf.pages))
    assert "listed 2,803" in words
    for row in evidence.contrasts("auroc"):
        if row.strategy == "wbce" and row.difference is not None and row.class_name.startswith("("):
            assert report.signed(row.difference) in words
    assert f"1 / {len(pdf.pages)}" in words
    assert list(pdf.attachments) == ["results.json"]
    assert pdf.attachments["results.json"][0].decode() == (run / "results.json").read_text(encoding="utf-8")
    assert {str(font["/BaseFont"]).split("+")[-1] for font in fonts(pdf)} <= {
        "Report-Sans",
        "Report-Sans-Bold",
        "Report",
        "DejaVu-Sans",
        "DejaVu-Sans-Bold",
    }
    assert alternatives(root["/StructTreeRoot"])


def fonts(pdf: pypdf.PdfReader) -> Iterator[Any]:
    for page in pdf.pages:
        for font in page["/Resources"].get("/Font", {}).values():  # type: ignore[union-attr,attr-defined]
            yield font.get_object()


def alternatives(node: Any) -> list[str]:
    """The alternative texts of all figures of a structure tree."""
    found, todo = [], [node]
    while todo:
        item = todo.pop().get_object()
        if isinstance(item, list):
            todo += item
        elif isinstance(item, dict):
            if item.get("/S") == "/Figure":
                assert item.get("/Alt")
                found.append(str(item["/Alt"]))
            if "/K" in item:
                todo.append(item["/K"])
    return found


def test_the_pdf_is_the_same_bytes_twice(evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    page, _ = report.render_html(small(evidence), [summary.Summary])
    for name in ("a", "b"):
        report.write_pdf(page, tmp_path / name, "{}")
        time.sleep(1.1)  # dates in a PDF count seconds
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}", asked
        found.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "markup",
    [
        "<img src='{at}/a.png' alt='a'>",
        "<link rel=stylesheet href='{at}/a.css'>",
        "<style>@import url({at}/a.css);</style>",
        "<style>@font-face{{font-family:x;src:url({at}/a.ttf)}} p{{font-family:x}}</style><p>a</p>",
        "<p style='background:url({at}/a.png)'>a</p>",
        "<object data='{at}/a.svg'></object>",
        "<embed src='{at}/a.svg'>",
        "<svg width='9' height='9'><title>t</title><image href='{at}/a.png' width='9' height='9'/></svg>",
        "<img alt='a' src=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'><image href='{at}/a.png' width='9' height='9'/></svg>\">",
        "<link rel=attachment href='{at}/a'>",
        "<a rel=attachment href='{at}/a'>a</a>",
        "<img src='file:///etc/hostname' alt='a'>",
        "<link rel=attachment href='file:///etc/hostname'>",
    ],
)
def test_the_pdf_asks_for_nothing_outside_the_page(server: tuple[str, list[str]], tmp_path: Path, markup: str) -> None:
    address, asked = server
    page = f"<!doctype html><html lang=en><title>t</title><body>{markup.format(at=address)}</body></html>"
    with pytest.raises(OutputError, match="a report holds all it needs"):
        report.write_pdf(page, tmp_path / "report.pdf")
    assert asked == []
    assert not (tmp_path / "report.pdf").exists()


LAUGHS = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10 if n else 'a' * 10}'>" for n in range(10))
SECRET = "<!ENTITY a9 SYSTEM 'file:///etc/passwd'>"


@pytest.mark.parametrize("entities", [LAUGHS, SECRET])
def test_a_picture_that_unfolds_or_reads_files_prints_as_nothing(tmp_path: Path, entities: str) -> None:
    drawing = f"<!DOCTYPE svg [{entities}]><svg xmlns='http://www.w3.org/2000/svg' width='99' height='9'><text y='9'>&a9;</text></svg>"
    source = base64.b64encode(drawing.encode()).decode()
    page = f"<!doctype html><html lang=en><title>t</title><body><img alt='fallback' src='data:image/svg+xml;base64,{source}'></body></html>"
    report.write_pdf(page, tmp_path / "report.pdf", "{}")
    pdf = pypdf.PdfReader(tmp_path / "report.pdf")
    assert list(pdf.attachments) == ["results.json"]
    words = "".join(page.extract_text() for page in pdf.pages)
    assert "root:" not in words
    assert "aaaa" not in words


def test_long_tables_are_cut_on_paper_with_a_note(tmp_path: Path) -> None:
    rows = "".join(f"<tr><td>row {number}</td></tr>" for number in range(450))
    page = f"<!doctype html><html lang=en><title>t</title><body><table><caption>c</caption><tbody>{rows}</tbody></table><p>after</p></body></html>"
    report.write_pdf(page, tmp_path / "report.pdf")
    words = " ".join(page.extract_text() for page in pypdf.PdfReader(tmp_path / "report.pdf").pages)
    assert "row 199" in words
    assert "row 200" not in words
    assert "First 200 of 450 rows" in words
    assert "after" in words


def test_the_pdf_needs_no_font_on_the_machine(evidence: Evidence, tmp_path: Path) -> None:
    page, _ = report.render_html(small(evidence), [summary.Summary])
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "fonts.conf").write_text("<fontconfig></fontconfig>", encoding="utf-8")
    code = f"from auditor.report import write_pdf; from pathlib import Path; p = Path({str(tmp_path)!r}); write_pdf((p / 'page.html').read_text(), p / 'a.pdf')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"FONTCONFIG_FILE": str(tmp_path / "fonts.conf"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Main findings" in " ".join(page.extract_text() for page in pypdf.PdfReader(tmp_path / "a.pdf").pages)


def test_a_missing_system_library_names_the_packages_and_leaves_the_html(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(MissingLibrary, match=r"libpango.*auditor doctor"):
        report.render(run, ("html", "pdf"), FakeRegistry([summary.Summary]))
    assert (run / "report.html").is_file()
    assert not (run / "report.pdf").exists()


def test_an_unknown_format_and_a_folder_without_results_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean html"):
        report.render(tmp_path, ("htm",), FakeRegistry([]))
    with pytest.raises(OutputError, match="auditor run"):
        report.render(tmp_path, ("html",), FakeRegistry([]))


def test_rendering_imports_no_torch(run: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from auditor.report import render\n"
        f"render(Path({str(run)!r}), ('html',))\n"
        "heavy = [name for name in ('torch', 'torchvision', 'captum', 'monai', 'scipy', 'weasyprint', 'pydicom', 'numba') if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Metric cards" in (run / "report.html").read_text(encoding="utf-8")


def test_making_a_pdf_does_not_make_half_images_pass_for_whole_ones() -> None:
    """WeasyPrint sets this flag for the whole process when it is imported."""
    words = "from PIL import ImageFile; from auditor.report import _weasyprint; _weasyprint(); print(ImageFile.LOAD_TRUNCATED_IMAGES)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
