"""Provenance on paper: a line per part, every option that is set in it, none twice; the whole of it stays in the HTML."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from auditor_plugins.sections import provenance
from auditor_plugins.sections._compact import compact
from example import EXAMPLE

from auditor.evidence import Evidence
from auditor.paper import shorten
from auditor.report import new_environment, section_body


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))


def test_a_part_is_a_line_with_the_options_that_are_set() -> None:
    nested = {
        "reference": "bce", "limited": None, "plugins": [], "controls": True,
        "analyses": [{"use": "performance", "options": {}}, {"use": "dissection", "options": {"quantile": 0.04, "hard": None}}],
        "claims": {"primary": ["auroc", "iobb"], "margin": {"auroc": 0.02}},
    }  # fmt: skip
    assert compact(nested) == [
        ("reference", "bce"), ("controls", "yes"), ("analyses", "performance; dissection (quantile 0.04)"),
        ("claims", "primary auroc, iobb, margin (auroc 0.02)"),
    ]  # fmt: skip


def test_paper_has_the_lines_and_html_every_option(evidence: Evidence) -> None:
    body = str(section_body(new_environment(), provenance.Provenance, evidence))
    page = ElementTree.fromstring(f"<body>{body.replace('&nbsp;', ' ')}</body>")
    shorten(page)
    paper = re.sub(r"\s+", " ", "".join(page.itertext()))
    assert "analyses.1.options.specificity" in body
    assert "analyses.1.options" not in paper
    assert "outcomes (specificity 0.9)" in paper
    assert str(evidence.dataset["digest"]) in paper
    assert str(evidence.audit["plan"]) in paper
    assert all(str(version) in paper for version in evidence.environment["packages"].values())
    assert "stand in report.html and in plan.json" in paper
    assert "Only in report.html" in paper
