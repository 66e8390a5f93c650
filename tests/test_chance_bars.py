"""Bars beside chance: what is drawn stands where the numbers are, and is said in words too."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from auditor_plugins.sections._concept_tables import count_charts
from auditor_plugins.sections.embeddings import _overlap_chart
from example import EXAMPLE

from auditor.chance_bars import Counted, chance_bars, chance_key
from auditor.drawing import EDGE, LABELS, WIDTH
from auditor.evidence import Evidence
from auditor.profiles import Overlap

ROWS = [
    Counted("bce, seed 0", "bce", 50.0, 20.0, 40.0),
    Counted("focal, seed 0", "focal", None, None, 10.0, "not estimable in any class"),
]


def drawn() -> ElementTree.Element:
    return ElementTree.fromstring(chance_bars(ROWS, ["bce", "focal"], title="Concepts <b>", axis="Count"))


def test_a_bar_ends_at_its_value_and_the_marks_stand_at_chance() -> None:
    """The axis runs from 0 to 50, so that 50 is the right edge, 20 two fifths of the way and 40 four fifths."""
    across = WIDTH - LABELS - EDGE
    chart = drawn()
    (bar,) = [rect for rect in chart.iter("rect") if "mark" in rect.get("class", "")]
    assert float(bar.get("x", 0)) == LABELS
    assert float(bar.get("width", 0)) == pytest.approx(across)
    upright = [float(one.get("x1", 0)) for one in chart.iter("line") if one.get("stroke-width") == "2.2"]
    assert upright == [pytest.approx(LABELS + 0.4 * across)]
    diamonds = [[float(point.split(",")[0]) for point in one.get("points", "").split()] for one in chart.iter("polygon")]
    assert [sum(points) / 4 for points in diamonds] == [
        pytest.approx(LABELS + share * across, abs=0.01) for share in (0.8, 0.2)
    ]


def test_it_is_said_in_words_and_absence_has_its_reason() -> None:
    chart = drawn()
    assert chart.findtext("title") == "Concepts <b>"
    said = chart.findtext("desc") or ""
    assert "bce, seed 0: 50" in said
    assert "random boxes 20" in said
    assert "boxes of other patients 40" in said
    assert any("not estimable in any class" in (text.text or "") for text in chart.iter("text"))
    assert [name for name, _ in chance_key()] == ["random boxes of the same sizes", "boxes of other patients with the finding"]


def test_the_section_draws_both_counts_of_every_network() -> None:
    """The example knows counts of whole images only; they stand here for the means over the classes."""
    evidence = Evidence.from_json(EXAMPLE.read_text())
    rows = [replace(row, class_name="(macro)") if row.class_name == "(image)" else row for row in evidence.summaries]
    charts = count_charts(replace(evidence, summaries=tuple(rows)), "dissection")
    assert [chart["title"] for chart in charts] == ["Disjoint concepts beside chance", "Unique concepts beside chance"]
    chart = ElementTree.fromstring(charts[0]["drawing"])
    networks = {row.model for row in rows if row.metric == "disjoint_concepts"}
    assert len([rect for rect in chart.iter("rect") if "mark" in rect.get("class", "")]) == len(networks) > 1
    assert len(list(chart.iter("polygon"))) == len(networks)
    assert count_charts(replace(evidence, summaries=()), "dissection") == []


def test_the_section_draws_what_networks_share_beside_its_chance_level() -> None:
    rows = [
        Overlap("embeddings", model, strategy, "bce-0", name, shared, 0.2, None, 10)
        for model, strategy in (("wbce-0", "wbce"), ("focal-0", "focal"))
        for name, shared in (("Effusion", 0.5), ("Mass", 0.2))
    ]
    evidence = replace(Evidence.from_json(EXAMPLE.read_text()), overlaps=tuple(rows))
    found = _overlap_chart(evidence, "embeddings")
    assert found is not None
    words = [title.text for title in ElementTree.fromstring(found["drawing"]).iter("title")]
    assert words[1:] == [
        "Effusion, wbce: 0.500, chance 0.200",
        "Effusion, focal: 0.500, chance 0.200",
        "Mass, wbce: 0.200, chance 0.200",
        "Mass, focal: 0.200, chance 0.200",
    ]
    assert _overlap_chart(replace(evidence, overlaps=()), "embeddings") is None
