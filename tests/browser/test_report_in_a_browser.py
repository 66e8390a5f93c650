"""The report as its readers meet it: in a browser, with and without scripts, by keyboard, in the dark, on a telephone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from auditor import Section, report
from auditor.evidence import Evidence, Gap, Picture
from auditor.registry import Registry

Tab = Callable[..., Any]
SHOWN = "[...document.querySelectorAll('main tbody tr')].filter(row => row.checkVisibility()).length"
ROWS = "document.querySelectorAll('main tbody tr:not(.on-paper *)').length"
STATUS = "document.querySelector('.controls [role=status]').textContent"


def small(evidence: Evidence) -> Evidence:
    """Three strategies, two kinds of numbers, two pictures and 30 gaps: every kind of table, few of each."""
    kept, hot = ("auroc", "probability", "kappa_loc", "iobb"), np.eye(7, dtype=np.float32)
    chosen = ("bce", "wbce", "focal")
    return replace(
        evidence,
        models=tuple(m for m in evidence.models if m["strategy"] in chosen),
        summaries=tuple(s for s in evidence.summaries if s.metric in kept and s.strategy in chosen and s.attribution in (None, "cam")),
        comparisons=tuple(
            c for c in evidence.comparisons if c.metric in kept and c.strategy in chosen and c.attribution in (None, "cam")
        ),
        metrics={name: told for name, told in evidence.metrics.items() if name in kept},
        gaps=tuple(Gap("bce-0", "alignment", "cam", "Mass" if n % 2 else "Hernia", f"reason {n:02}", n) for n in range(1, 31)),
        pictures=tuple(
            Picture(f"case {n}", name, ((0.1, 0.1, 0.5, 0.5),), np.zeros((32, 32), np.uint8), {"cam": {"bce-0": hot, "wbce-0": hot}})
            for n, name in enumerate(("Mass", "Hernia"))
        ),
    )  # fmt: skip


def written(evidence: Evidence, folder: Path, names: tuple[str, ...] = ()) -> Path:
    sections = Registry().all("sections")
    chosen = [section for name, section in sections.items() if not names or name in names]
    page, failures = report.render_html(evidence, [*chosen, Odd])
    assert failures == []
    (folder / "report.html").write_text(page, encoding="utf-8")
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(chromium: object, evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(small(evidence), tmp_path_factory.mktemp("report"))


class Odd(Section):
    """Numbers whose order is not that of their letters, two that belong together, and a cell over two strategies."""

    name, title, order = "odd", "Odd numbers", 75
    numbers: ClassVar[list[str]] = [
        "not measured",
        "+0.1",
        "−0.2 (−0.3 to −0.1)",
        "1,200",
        "300",
        "0.05",
        "< 0.001",
        "0.9",
        "7",
    ]
    template = """<table><caption><b>Odd.</b></caption><thead><tr><th scope="col">Name</th>{% for name in ("wbce", "focal") %}
        <th scope="col"><svg aria-hidden="true" data-series="{{ name }}"><title>m</title></svg> {{ name }}</th>{% endfor %}</tr></thead><tbody>
        {% for number in numbers %}<tr{{ " data-joined" if loop.last }}><th scope="row">row {{ loop.index }}</th><td>{{ number }}</td><td>1</td></tr>{% endfor %}
        <tr data-overall><th scope="row">all</th><td colspan="2" class="absent">not estimable (why)</td></tr></tbody></table>"""

    def context(self, evidence: Evidence) -> dict[str, Any]:
        return {"numbers": self.numbers}


def table(caption: str) -> str:
    """JavaScript for the first table whose caption begins so."""
    return f'[...document.querySelectorAll("table")].find(t => t.caption.textContent.trim().startsWith("{caption}"))'


def column(caption: str, place: int) -> str:
    """JavaScript for the visible texts of a column of a table; row headers are column 0."""
    rows = f"[...{table(caption)}.tBodies[0].rows].filter(row => row.checkVisibility())"
    return f"{rows}.map(row => row.cells[{place}].innerText.replace(/\\s+/g, ' ').trim())"


def press(caption: str, name: str) -> str:
    """JavaScript that clicks the sort button of a column and says how the table is sorted then."""
    button = f"[...{table(caption)}.querySelectorAll('button.sort')].find(b => b.innerText.trim() === '{name}')"
    return f"(() => {{ const button = {button}; button.click(); return button.closest('th').getAttribute('aria-sort') }})()"


def test_the_page_asks_for_nothing_and_its_policy_has_nothing_to_refuse(tab: Tab, page: Path) -> None:
    opened = tab(page)
    asked = opened.asked_for()
    assert asked[0] == page.as_uri()
    assert all(address.startswith("data:") for address in asked[1:])
    assert opened.complaints() == []


def test_no_script_but_ours_runs_and_no_address_is_asked_for(tab: Tab, page: Path, tmp_path: Path) -> None:
    hostile = "<script>window.foreign = 1</script><img src='http://127.0.0.1:9/a.png' alt='' onerror='window.foreign = 1'><p onclick='1'>a</p>"
    (tmp_path / "hostile.html").write_text(
        page.read_text(encoding="utf-8").replace("<main>", f"<main>{hostile}"), encoding="utf-8"
    )
    opened = tab(tmp_path / "hostile.html")
    opened.asked_for()
    assert opened.js("typeof window.foreign") == "undefined"
    assert opened.js("document.querySelectorAll('.controls').length") == 1
    refused = " ".join(opened.complaints())
    assert "script-src" in refused
    assert "img-src" in refused


def test_without_scripts_everything_is_there_and_no_control_is_dead(tab: Tab, page: Path) -> None:
    opened = tab(page, scripts=False)
    assert opened.js(SHOWN) == opened.js(ROWS) > 100
    assert opened.js("document.querySelectorAll('button, input, select, [aria-sort]').length") == 0
    assert opened.js("[...document.querySelectorAll('section h2')].every(h => h.checkVisibility())")


def test_numbers_sort_as_numbers_with_rows_over_all_classes_on_top_and_absences_last(tab: Tab, page: Path) -> None:
    opened, auroc = tab(page), "AUROC: contrasts with bce"
    before = opened.js(column(auroc, 0))
    whole = before[: opened.js(f"{table(auroc)}.querySelectorAll('[data-overall]').length")]
    assert opened.js(press(auroc, "wbce − bce")) == "ascending"
    assert opened.js(column(auroc, 0))[: len(whole)] == whole
    found = [text.split()[0] for text in opened.js(column(auroc, 2))[len(whole) :]]
    numbers = [float(text.replace("−", "-")) for text in found if text != "not"]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 2
    assert found[len(numbers) :] == ["not"] * (len(found) - len(numbers))
    assert opened.js(press(auroc, "wbce − bce")) == "descending"
    again = [text.split()[0] for text in opened.js(column(auroc, 2))[len(whole) :]]
    assert [float(text.replace("−", "-")) for text in again if text != "not"] == sorted(numbers, reverse=True)
    assert again[len(numbers) :] == ["not"] * (len(found) - len(numbers))
    assert opened.js(press(auroc, "wbce − bce")) is None
    assert opened.js(column(auroc, 0)) == before
    assert opened.js("document.querySelectorAll('[aria-sort]').length") == 0


def test_signs_thousands_and_bounds_are_read_and_rows_that_belong_together_stay(tab: Tab, page: Path) -> None:
    opened = tab(page)
    assert opened.js(press("Odd", "wbce")) == "ascending"
    assert opened.js(column("Odd", 0)) == ["all", *(f"row {n}" for n in (3, 7, 6, 2, 8, 9, 5, 4, 1))]
    assert opened.js(press("Odd", "wbce")) == "descending"
    assert opened.js(column("Odd", 0)) == ["all", *(f"row {n}" for n in (4, 5, 8, 9, 2, 6, 7, 3, 1))]


def test_a_filter_hides_rows_and_columns_of_others_across_the_report_and_says_how_many(tab: Tab, page: Path) -> None:
    opened = tab(page)
    everything = opened.js(ROWS)
    assert opened.js(STATUS) == f"All {everything} rows are shown."
    opened.choose("Class", "Mass")
    hidden = opened.js("[...document.querySelectorAll('main tbody tr')].filter(row => row.hidden).length")
    assert opened.js(
        "[...document.querySelectorAll('tr[data-class]')].every(row => row.hidden === (row.dataset.class !== 'Mass'))"
    )
    assert opened.js("[...document.querySelectorAll('tr[data-overall]')].every(row => !row.hidden)")
    assert opened.js("[...document.querySelectorAll('figure[data-class]')].map(f => f.hidden)") == [False, True]
    assert 0 < hidden < everything
    assert opened.js(STATUS) == f"{hidden} of {everything} rows are hidden; charts show everything."
    opened.choose("Strategy", "focal")
    assert (
        opened.js(
            "[...document.querySelectorAll('thead th')].filter(h => h.checkVisibility()).map(h => h.innerText).filter(t => t.includes('wbce'))"
        )
        == []
    )
    assert opened.js(column("AUROC by network", 0)) != []
    uneven = """[...document.querySelectorAll("table")].filter(t => t.tHead && t.checkVisibility() && !t.matches('.gates')).filter(t => {
        const wide = row => [...row.cells].filter(c => !c.hidden).reduce((sum, c) => sum + c.colSpan, 0);
        return [...t.tBodies[0].rows].some(row => !row.hidden && wide(row) !== wide(t.tHead.rows[0]));
    }).map(t => t.caption.textContent)"""
    assert opened.js(uneven) == []
    opened.js("[...document.querySelectorAll('.controls button')].find(b => b.textContent === 'Clear').click()")
    assert opened.js(STATUS) == f"All {everything} rows are shown."
    assert opened.js("[...document.querySelectorAll('main [hidden]')].filter(e => !e.matches('.emptied')).length") == 0
    assert opened.js(uneven) == []


def test_words_find_rows_and_a_table_without_any_says_so(tab: Tab, page: Path) -> None:
    opened = tab(page)
    opened.choose("Text", "REASON 07")
    assert opened.js(SHOWN) == 1
    assert "Networks under audit. No row passes the filter." in opened.js(
        "[...document.querySelectorAll('.emptied')].filter(p => p.checkVisibility()).map(p => p.textContent)"
    )


def test_tall_tables_open_with_a_button_and_are_whole_on_paper(tab: Tab, page: Path) -> None:
    opened = tab(page)
    assert len(opened.js(column("Not measured", 0))) == 20
    more = f"{table('Not measured')}.closest('.scroll').nextElementSibling"
    assert opened.js(f"[{more}.textContent, {more}.ariaExpanded]") == ["Show all 30 rows", "false"]
    opened.js(f"{more}.click()")
    assert len(opened.js(column("Not measured", 0))) == 30
    assert opened.js(f"{more}.ariaExpanded") == "true"
    assert len(tab(page, media="print").js(column("Not measured", 0))) == 30


def test_colours_follow_the_system_until_the_reader_chooses(tab: Tab, page: Path) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(18, 23, 28)"
    bright, night = tab(page), tab(page, dark=True)
    assert (bright.js(colour), night.js(colour)) == (light, dark)
    bright.choose("Colours", "dark")
    night.choose("Colours", "light")
    assert (bright.js(colour), night.js(colour)) == (dark, light)
    night.choose("Colours", "auto")
    assert night.js(colour) == dark


@pytest.mark.parametrize("scripts", [True, False])
def test_a_telephone_never_scrolls_sideways(tab: Tab, page: Path, scripts: bool) -> None:
    opened = tab(page, width=360, scripts=scripts)
    assert opened.js("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]


def test_the_keyboard_reaches_every_control_in_order_and_shows_where_it_is(tab: Tab, page: Path) -> None:
    opened = tab(page)
    here = "(() => { const e = document.activeElement; return [e.className || e.tagName, getComputedStyle(e).outlineStyle, e.checkVisibility()] })()"
    walk = []
    while not walk or walk[-1][0] != "sort":
        opened.press("Tab")
        walk.append(opened.js(here))
        assert len(walk) < 60
    assert walk[0][0] == "skip"
    assert all(style != "none" and seen for _, style, seen in walk)
    names = [name for name, _, _ in walk]
    assert names.index("skip") < names.index("SELECT") < names.index("INPUT") < names.index("BUTTON") < names.index("colours")
    opened.press("Enter")
    assert opened.js("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
    opened.press("Tab", shift=True)
    assert opened.js("document.activeElement.className") != "sort"


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(tab: Tab, evidence: Evidence, tmp_path: Path, dark: bool) -> None:
    few = ("summary", "discrimination", "gaps")
    assert tab(written(small(evidence), tmp_path, few), dark=dark).violations() == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
def test_axe_finds_nothing_serious_in_a_whole_report(
    tab: Tab, evidence: Evidence, tmp_path: Path, dark: bool, width: int
) -> None:
    assert tab(written(evidence, tmp_path), dark=dark, width=width).violations() == []


def test_axe_would_see_a_picture_without_words_and_pale_letters(tab: Tab, page: Path, tmp_path: Path) -> None:
    pale = "<div id=bad><img src='data:image/png;base64,iVBORw0KGgo='><p style='color:#aaa'>pale</p></div>"
    (tmp_path / "bad.html").write_text(page.read_text(encoding="utf-8").replace("<main>", f"<main>{pale}"), encoding="utf-8")
    assert {rule.split()[0] for rule in tab(tmp_path / "bad.html").violations("'#bad'")} == {"image-alt", "color-contrast"}
