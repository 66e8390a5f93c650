"""Whatever classes, strategies, networks, notes and failures are called, the report is made of the same elements and attributes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from example import EXAMPLE

from auditor import report
from auditor.evidence import Evidence, Picture
from auditor.registry import Registry

PAYLOADS = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<ScRiPt>alert(1)</sCrIpT>", "<script src=//x.test></script>",
    '" onmouseover="alert(1)', "' onmouseover='alert(1)", '"><img src=x onerror=alert(1)>', "'><img src=x onerror=alert(1)>",
    "x onfocus=alert(1) autofocus", "javascript:alert(1)", " java\tscript:alert(1)", "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)", "</style><b>", "</title><b>", "</textarea><b>", "</caption></table><b>", "</td></tr></table><p>", "</th><td>",
    "</svg><b>", "</section><p>", "</main></body></html>", "</template><b>", "<b", "<!--", "-->", "--><iframe src='http://x.test'>",
    "]]><svg/onload=alert(1)>", "<![CDATA[", "<?xml version='1.0'?>", "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>", "&e;",
    "&lt;b&gt;", "&amp;lt;b&amp;gt;", "&#60;b&#62;", "&#x3c;b&#x3e;", "\\u003cb\\u003e", "{{ 7 * 7 }}", "{% raw %}", "{# gone #}",
    "{{ ''.__class__.__mro__ }}", "%(asctime)s {0} ${HOME}", "<!--fonts-->", "\u202egnp.exe", "\u2066isolated\u2069", "zero\u200bwidth",
    "e\u0301", "\x00\x1b[31m", "\x7f\x85\u2028new\u2029line", "\ud800", "\U000e0041tag", "a" * 300, "W\u0308" * 90, "<p>" * 40,
    "=cmd|' /C calc'!A0", "$\\frac{1}$", "url(http://x.test)", "@import 'x'", "expression(alert(1))", "http://x.test/a.png",
)  # fmt: skip
SURFACES = (
    "class one", "class two", "reference", "strategy", "network one", "network two", "architecture", "note", "missing", "error", "reason",
    "text", "detail", "says", "pitfall", "undefined", "title", "option",
)  # fmt: skip
FREE = {"note", "missing", "error", "reason", "text", "detail", "says", "pitfall", "undefined", "title"}
"""Fields of free text; where one is None it stays so."""
NAMES = {
    "Effusion": "class one", "Mass": "class two", "bce": "reference", "wbce": "strategy", "bce-0": "network one", "wbce-0": "network two",
    "resnet50": "architecture", "layer4.2": "option",
}  # fmt: skip


class Parsed(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.values: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag, tuple(sorted(name for name, _ in attrs))] += 1
        self.values += [(name, value or "") for name, value in attrs]


@lru_cache(maxsize=1)
def few() -> dict[str, Any]:
    """The example cut to two strategies, one seed, two classes and one attribution."""
    rows = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    ids, classes, strategies = ("bce-0", "wbce-0"), ("Effusion", "Mass"), ("bce", "wbce", "(blind)")

    def kept(row: Mapping[str, Any]) -> bool:
        name = row.get("class")
        return (
            (name is None or name in classes or name in ("(macro)", "(image)", "(model)"))
            and row.get("strategy") in (None, *strategies)
            and (row.get("model") in (None, *ids) or row.get("strategy") == "(blind)")
            and row.get("attribution") in (None, "cam")
        )

    cut = {key: [row for row in value if kept(row)] if isinstance(value, list) else value for key, value in rows.items()}
    cut["models"] = [model for model in rows["models"] if model["id"] in ids]
    cut["models"][1]["status"], cut["models"][1]["error"] = "failed", "logits not finite"
    for row in (row for row in cut["comparisons"] if row["metric"] == "auroc"):
        row["note"] = "few patients"
        if row["class"] == "Mass":
            row.update(difference=None, low=None, high=None, missing="2 positives")
    dataset = rows["dataset"]
    cut["dataset"] = {**dataset, "classes": list(classes), "counts": {name: dataset["counts"][name] for name in classes}}
    return cut


def renamed(value: Any, names: Mapping[str, str], field: str = "") -> Any:
    """Every name and every free text replaced, keys too."""
    if isinstance(value, Mapping):
        return {names.get(NAMES.get(key, ""), key): renamed(inner, names, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner, names, field) for inner in value]
    if not isinstance(value, str):
        return value
    return names[NAMES[value]] if value in NAMES else names[field] if field in FREE else value


def page_of(names: Mapping[str, str]) -> str:
    evidence = Evidence.from_json(json.dumps(renamed(few(), names)))
    hot = np.eye(7, dtype=np.float32)
    maps = {"cam": {names["network one"]: hot, names["network two"]: hot}}
    picture = Picture(names["text"], names["class one"], ((0.1, 0.1, 0.5, 0.5),), np.zeros((16, 16), np.uint8), maps)
    page, failures = report.render_html(replace(evidence, pictures=(picture,)), Registry().all("sections").values())
    assert failures == []
    return page


@lru_cache(maxsize=1)
def benign() -> Parsed:
    return Parsed(page_of({surface: f"Ordinary {surface}" for surface in SURFACES}))


@pytest.fixture(autouse=True)
def no_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_font", lambda file, letters: "")


@pytest.mark.parametrize(
    "first", [pytest.param(n, marks=() if n % 12 == 0 else pytest.mark.slow) for n in range(len(PAYLOADS))], ids=str
)
def test_hostile_names_change_no_element_and_no_attribute(first: int) -> None:
    """Over all turns every payload has stood on every surface; each turn has another payload on each."""
    names = {surface: PAYLOADS[(first + 7 * place) % len(PAYLOADS)] for place, surface in enumerate(SURFACES)}
    page = page_of(names)
    parsed = Parsed(page)
    assert parsed.found == benign().found
    assert not [name for name, _ in parsed.values if name.startswith("on")]
    addresses = [value for name, value in parsed.values if name in ("href", "src", "xlink:href", "action")]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in addresses)
    assert page.count("<script") == 1
    assert re.findall(r"<script>(.*)</script>", page, re.S) == [report._template("report.js").read_text(encoding="utf-8")]
    page.encode("utf-8")


def test_the_surfaces_are_on_the_page_and_the_payloads_are_sixty() -> None:
    shown = page_of({surface: f"Ordinary {surface}" for surface in SURFACES})
    assert len(set(PAYLOADS)) == len(PAYLOADS) == 60
    assert [surface for surface in SURFACES if f"Ordinary {surface}" not in shown] == []
    assert {"data-class", "data-series"} <= {name for name, _ in benign().values}
