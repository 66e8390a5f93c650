"""How a diff is told: in the terminal, on a pull request, to a CI server, on a page; with names that mean harm."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from diffing import Tables, audited, drawn
from markdown_it import MarkdownIt

from auditor.cli import main
from auditor.diff.changes import Change, Changes
from auditor.diff.difference import Difference, _in_order, _names, difference
from auditor.diff.junit import junit
from auditor.diff.markdown import markdown
from auditor.diff.page import page
from auditor.diff.text import text
from auditor.report import POLICY
from auditor.statistics.rows import Comparison

HOSTILE = "a|b`\x07\n</code></details><script>alert(1)</script>[x](javascript:y) @team #1 **b** www.evil.org \u202e\\|"
PRINTABLE = "c|d</code></details><img src=x onerror=y>[z](javascript:y) @team"
FOCAL = "focal · scores · seed 0"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An audit whose classes have hostile names, and the same after one network was spoilt."""
    tables: Tables = replace(drawn(), classes=(HOSTILE, PRINTABLE))
    noise = np.random.default_rng(9).normal(0, 3, tables.labels.shape)
    spoilt = tables.with_scores(("focal", 0), tables.scores["focal", 0] + noise)
    return audited(tmp_path_factory.mktemp("old"), tables), audited(tmp_path_factory.mktemp("new"), spoilt)


@pytest.fixture(scope="module")
def judged(sides: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Difference:
    """The diff of the two under a gate that one strategy fails, one that is advisory, and one on the hostile class."""
    path = tmp_path_factory.mktemp("gates") / "gates.yaml"
    lines = [
        {"metric": "auroc", "claim": "noninferior", "margin": 0.02},
        {"metric": "average_precision", "claim": "not_shown_worse", "tier": "advisory"},
        {"metric": "auroc", "claim": "not_shown_worse", "class": PRINTABLE, "strategy": "focal"},
    ]
    path.write_text(json.dumps({"gates": lines}))
    return difference(*sides, path)


class Elements(HTMLParser):
    """The elements of a page, its text and its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


# The terminal


def test_the_terminal_tells_what_is_worse_first(judged: Difference) -> None:
    lines = text(judged).splitlines()
    assert lines[0] == "2 blocking gates failed."
    assert lines[1].startswith("Of 18 paired numbers ")
    assert lines[2] == f"old: {judged.names[0]}; new: {judged.names[1]}"
    assert lines[3] == "gate 1  passed        blocking  auroc, averaged over the classes, networks of bce minus those of the old audit: unchanged, no case moved"  # fmt: skip
    assert lines[4].startswith("gate 1  failed        blocking  auroc, averaged over the classes, networks of focal minus")
    start = lines.index("What changed, new minus old with 95 % interval")
    assert re.match(
        rf"  different, worse \(primary claim\): AUROC, mean over classes, {FOCAL}: −0\.\d+ \(−0\.\d+ to −0\.\d+\), n 240 \(60 patients\)",
        lines[start + 1],
    )


def test_long_lists_are_cut_and_the_rest_is_counted(judged: Difference) -> None:
    assert "  and 8 more; --format json holds all" in text(judged, rows=1).splitlines()


# A pull request


def test_a_comment_is_a_table_of_whole_rows_whatever_a_name_holds(judged: Difference) -> None:
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown(judged))
    found = Elements(html)
    assert set(found.tags) <= {
        "h3", "p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "ul", "li", "blockquote"
    }  # fmt: skip
    rows = [re.findall("<t[dh]>", row) for row in re.findall("<tr>.*?</tr>", html, re.S)]
    assert {len(row) for row in rows} == {3, 5}
    assert found.tags.count("table") == 2
    assert found.links == []
    assert html.count("<details>") == html.count("</details>")
    assert "</code></details><script>alert(1)" in found.text  # the name is told in full, as text


def test_nothing_that_forges_act_on_is_left_in_a_name(judged: Difference) -> None:
    told = markdown(judged)
    for sign in ("@team", "#1 ", "www.evil", "[x]", "<script", "\x07", "\u202e", "**b**"):
        assert sign not in told


def test_a_comment_is_short_and_counts_what_it_leaves_out(judged: Difference) -> None:
    assert len(markdown(judged)) < 65_536  # what a forge takes
    cut = markdown(judged, rows=1, folded=1)
    assert "8 more rows are not shown here." in cut
    assert "more are not shown here" in cut


def told(verdict: str, claim: str, name: str, low: float = -0.1) -> Change:
    row = Comparison(
        "auroc", "performance", None, name, "f", "focal", "old", 0.1, low, 0.3, 240, 60, verdict=verdict, claim=claim,  # type: ignore[arg-type]
        p_adjusted=0.2,
    )  # fmt: skip
    return Change("focal", 1, row, 0.7, 0.8)


def test_a_primary_claim_stands_first_whatever_became_of_it(judged: Difference) -> None:
    clear = [told("different", "exploratory", name, 0.05) for name in ("Mass", "Nodule", "(macro)")]
    found = replace(Changes(), of_networks=[*clear, told("inconclusive", "primary", "(macro)")])
    ordered = _in_order(found, judged.new)
    assert [change.row.claim for change in ordered] == ["primary", *["exploratory"] * 3]
    some = replace(judged, changes=ordered)
    for said in (markdown(some, rows=1), text(some, rows=1)):
        assert "inconclusive (primary claim)" in said
        assert "different, better" not in said


def test_a_change_that_only_their_number_makes_inconclusive_is_marked_once_explained(judged: Difference) -> None:
    alone = replace(judged, changes=(told("inconclusive", "exploratory", "Mass", 0.05),))
    quiet = replace(judged, changes=(told("inconclusive", "exploratory", "Mass"),))
    for show in (markdown, text, page):
        assert "inconclusive †" in show(alone)
        assert "leaves out 0" in show(alone)
        assert "†" not in show(quiet)


def test_both_runs_are_named_and_no_raw_name_of_a_pseudo_class_is_left(judged: Difference) -> None:
    some = replace(judged, names=("nightly", "branch/run"), not_compared=("numbers by subgroup",))
    for show in (markdown, text, page):
        said = html.unescape(show(some))
        assert "nightly" in said
        assert "branch/run" in said
        assert "(macro)" not in said
        assert "Not compared: numbers by subgroup" in said
    assert "Read this first" not in page(replace(some, notes=(), incomplete=(), altered=(), why_not=None))


def test_as_much_of_two_paths_as_tells_the_runs_apart(tmp_path: Path) -> None:
    for name in ("a/run", "b/run"):
        (tmp_path / name).mkdir(parents=True)
    assert _names(tmp_path / "a/run", tmp_path / "b/run") == ("a/run", "b/run")
    assert _names(tmp_path / "a", tmp_path / "b/run/results.json") == ("a", "run")
    assert _names(tmp_path / "a", tmp_path / "a") == ("a", "a")


# A CI server


def test_junit_has_a_case_per_gate_and_per_metric_that_changed(judged: Difference) -> None:
    root = ElementTree.fromstring(junit(judged))
    (suite,) = root
    names = [(case.get("classname"), str(case.get("name")).split(":")[0], [part.tag for part in case]) for case in suite]
    assert names == [
        ("auditor.diff.comparison", "the audits can be compared", []),
        ("auditor.diff.gate", "1", ["system-out"]),
        ("auditor.diff.gate", "2", ["failure"]),
        ("auditor.diff.gate", "3", ["system-out"]),
        ("auditor.diff.gate", "4", ["skipped"]),
        ("auditor.diff.gate", "5", ["failure"]),
        ("auditor.diff.changed", "auroc", ["system-out"]),
        ("auditor.diff.changed", "average_precision", ["system-out"]),
        ("auditor.diff.changed", "probability", ["system-out"]),
    ]
    for element in (root, suite):
        assert [element.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["9", "2", "0", "1"]
    assert all(case.get("name") and case.get("classname") and case.get("time") for case in suite)


def test_junit_can_be_read_whatever_a_name_holds(judged: Difference) -> None:
    whole = "".join(ElementTree.fromstring(junit(judged)).itertext())
    assert "\\u0007" in whole  # spelt out: XML knows no such character
    assert "</details>" in whole


def test_errors_answer_to_3_and_failures_to_1(sides: tuple[Path, Path], judged: Difference) -> None:
    assert int(judged.exit_code) == 1
    lost = replace(judged, gates=(), why_not="the old audit cannot be paired: it was lost")
    (suite,) = ElementTree.fromstring(junit(lost))
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    error = suite.find("testcase/error")
    assert error is not None
    assert str(error.get("message")).startswith("the old audit cannot be paired: it was lost; numbers are compared as numbers")


# A page


def test_the_page_holds_all_it_needs_and_nothing_that_runs(judged: Difference) -> None:
    html = page(judged)
    found = Elements(html)
    assert POLICY.partition("; script-src")[0].replace("'", "&#39;") in html
    assert not {"script", "iframe", "form", "object", "link"} & set(found.tags)
    assert all(link.startswith(("#", "data:")) for link in found.links)
    assert found.tags.count("details") == 3
    assert found.tags.count("svg") >= 3
    assert "2 blocking gates failed." in found.text


def test_every_interval_of_the_page_is_that_of_the_diff(judged: Difference) -> None:
    from auditor.wording import signed

    rows = re.findall(r"<td>([+−]?[\d.]+) <span class=\"interval\">\(([+−\d.]+) to ([+−\d.]+)\)</span></td>", page(judged))
    told = [(c.row.difference, c.row.low, c.row.high) for c in judged.estimated]
    assert set(rows) == {tuple(signed(number) for number in row if number is not None) for row in told}


# The command


def test_the_command_prints_and_writes_what_was_asked_for(
    sides: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = map(str, sides)
    files = {"--junit": tmp_path / "diff.xml", "--html": tmp_path / "deep" / "diff.html"}
    options = [part for name, path in files.items() for part in (name, str(path))]
    assert main(["diff", old, new, "--format", "json", *options]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["exit_code"], told["empty"], told["counts"]["unchanged"]) == (0, False, 9)
    assert {row["who"] for row in told["changes"]} == {FOCAL}
    assert "<!doctype html>" in files["--html"].read_text(encoding="utf-8")
    assert ElementTree.parse(files["--junit"]).getroot().tag == "testsuites"


def test_a_place_that_cannot_be_written_is_5(
    sides: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["diff", *map(str, sides), "--junit", str(tmp_path / "file" / "diff.xml")]) == 5
    assert "diff.xml" in capsys.readouterr().err


def test_a_diff_of_nothing_is_one_line_in_every_format(sides: tuple[Path, Path]) -> None:
    found = difference(sides[0], sides[0])
    assert text(found) == "Nothing changed: 18 numbers rest on cases of which none moved.\n"
    assert markdown(found).count("\n") == 5
    (suite,) = ElementTree.fromstring(junit(found))
    assert suite.get("tests") == "1"
    assert "Yes: the same data, networks, options and tools." in page(found)
