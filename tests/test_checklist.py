"""Checklists: strict files, rules that refer to what exists, and statuses that follow the evidence."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from auditor_plugins.sections import crosswalk

from auditor import Section, card, checklist
from auditor.checklist import Item
from auditor.errors import ConfigError
from auditor.evidence import Evidence
from auditor.evidenced import FACTS
from auditor.registry import Registry
from auditor.report import new_environment, render_html, section_body

FILES = sorted((Path(checklist.__file__).parent / "checklists").glob("*.yaml"))
EXAMPLE = Path(__file__).with_name("example_evidence.json")
HEAD = "name: L\nversion: '1'\nyear: 2024\nsource: S\nnote: N\nitems:\n"


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_checklist_can_be_read_and_names_only_sections_that_exist(path: Path) -> None:
    found = checklist.read(path)
    assert "governs" in found.note
    assert str(found.year) in found.source
    named = {name for item in found.items for name in item.sections}
    assert named <= set(Registry().all("sections"))
    assert named <= set(crosswalk.WHERE)


def test_no_checklist_and_no_crosswalk_calls_anything_compliant(evidence: Evidence) -> None:
    pages = [path.read_text(encoding="utf-8") for path in FILES]
    pages.append(str(section_body(new_environment(), crosswalk.Crosswalk, evidence)))
    assert len(pages) == 6
    for page in pages:
        assert not re.search(r"complian|conforms|fulfil|certified", page, re.I)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("- {item: '1', asks: A, sections: [data], evidence: [image_flw]}", r"7:53: items\[0\].evidence\[0\]: found 'image_flw'; allowed: .*; did you mean image_flow\?"),
        ("- {item: '1', asks: A, sections: [data], card: [data.site]}", r"7:49: items\[0\].card\[0\]: found 'data.site'; allowed: system.name, .*; did you mean data.sites\?"),
        ("- {item: '1', asks: A, sections: [data]}", r"7:3: items\[0\]: found no rule or several; allowed: card and evidence, or missing, or not_applicable"),
        ("- {item: '1', asks: A, missing: M, not_applicable: N}", r"7:3: items\[0\]: found no rule or several; .*"),
        ("- {item: '1', asks: A, evidence: [image_flow]}", r"7:3: items\[0\]: found a rule without sections; .*"),
        ("- {item: '1', asks: A, missing: M}\n- {item: '1', asks: A, missing: N}", r"8:3: items\[1\]: found the same as items\[0\]; allowed: once"),
        ("- {item: 1, asks: A, missing: M}", r"7:10: items\[0\].item: found 1; allowed: text .*"),
        ("- {item: '1', asks: A, missing: M, stat: s}", r"7:42: items\[0\].stat: unknown key"),
    ],
)  # fmt: skip
def test_a_wrong_checklist_is_refused_with_its_place(items: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "l.yaml").write_text(HEAD + items + "\n")
    with pytest.raises(ConfigError) as caught:
        checklist.read(tmp_path / "l.yaml")
    assert re.fullmatch(re.escape(str(tmp_path / "l.yaml")) + ":" + said, str(caught.value)), caught.value


def item(**rule: Any) -> Item:
    return Item.model_validate({"item": "1", "asks": "A", "sections": ("data",), **rule})


def test_an_item_is_evidenced_only_by_all_that_it_needs(evidence: Evidence) -> None:
    both = item(card=("data.source", "data.sites"), evidence=("image_flow",))
    found = checklist.answer(both, evidence)
    assert found.status == "not evidenced"
    assert found.lacking == ("card.data.sites",)
    assert found.there == ("card.data.source", FACTS["image_flow"][0])
    full = {**evidence.audit, "card": {"data": {"source": "a", "sites": ["b"]}}}
    assert checklist.answer(both, replace(evidence, audit=full)).status == "evidenced"
    assert checklist.answer(item(missing="No field."), evidence)[1:] == ("not evidenced", (), (), "No field.")
    assert checklist.answer(item(not_applicable="An article."), evidence).status == "not applicable"


BARE: dict[str, Any] = {
    "summaries": (), "comparisons": (), "findings": (), "gaps": (), "metrics": {}, "models": (), "controls": (), "repeated": (),
    "operating": (), "by_outcome": (), "gates": (), "self_test": {}, "pictures": (), "curves": (), "histograms": (),
    "environment": {}, "accounting": {}, "dataset": {}, "audit": {"title": "T"},
}  # fmt: skip


@pytest.mark.parametrize("name", FACTS)
def test_an_audit_that_measured_nothing_has_no_fact(name: str, evidence: Evidence) -> None:
    assert not checklist.holds(name, replace(evidence, **BARE))


def test_the_example_has_the_facts_that_it_should_have_and_no_other(evidence: Evidence) -> None:
    lacking = {name for name in FACTS if not checklist.holds(name, evidence)}
    assert lacking == {
        "demographics_of_both", "patient_overlap", "training_record", "subgroups", "calibration", "recalibration", "wrong_cases",
        "learnt_by_heart", "changed_pictures",
    }  # fmt: skip


def test_checks_that_decided_nothing_validate_no_explanation(evidence: Evidence) -> None:
    open_ = tuple(replace(control, outcome="inconclusive") for control in evidence.controls)
    assert not checklist.holds("sanity_checks", replace(evidence, controls=open_))
    without = tuple(control for control in evidence.controls if control.check != "wrong_class")
    assert not checklist.holds("sanity_checks", replace(evidence, controls=without))


def test_the_crosswalk_counts_what_its_tables_show(evidence: Evidence) -> None:
    body = str(section_body(new_environment(), crosswalk.Crosswalk, evidence))
    tables = re.findall(r'<table class="checklist">.*?</table>', body, re.S)
    assert len(tables) == len(FILES) == 5
    counts = re.findall(r'<th scope="row">([^<]+)</th><td>(\d+)</td><td>(\d+)</td><td>(\d+)</td>', body)
    for table, (name, *numbers) in zip(tables, counts, strict=True):
        assert f"<b>{name}.</b>" in table
        shown = Counter(re.findall(r'<b class="status-[a-z-]+">([a-z ]+)</b>', table))
        assert [shown[status] for status in crosswalk.STATUSES] == [int(number) for number in numbers]
    claim = tables[0]
    assert re.search(r'row">31</th>.*?status-evidenced', claim, re.S)
    assert "lacking: sites (stated); dates (stated)" in claim


def test_filling_the_card_and_losing_the_checks_moves_items(evidence: Evidence) -> None:
    def status(found: Evidence, number: str) -> str:
        (told,) = (answer for answer in checklist.answers(checklist.read(FILES[0]), found) if answer.item.item == number)
        return told.status

    assert status(evidence, "41") == "not evidenced"
    system = {"intended_use": "a", "users": "b"}
    assert status(replace(evidence, audit={**evidence.audit, "card": {"system": system}}), "41") == "evidenced"
    assert status(evidence, "31") == "evidenced"
    assert status(replace(evidence, controls=()), "31") == "not evidenced"


def test_every_link_of_the_report_leads_to_a_section_of_it(evidence: Evidence) -> None:
    few: list[type[Section]] = [
        section for name, section in Registry().all("sections").items() if name in ("crosswalk", "summary", "data")
    ]
    page, failures = render_html(evidence, few)
    assert failures == []
    links = set(re.findall(r'href="#(part-[\w-]+)"', page))
    assert links == {"part-crosswalk", "part-summary", "part-data"} == set(re.findall(r'<section id="([^"]+)"', page))
    assert "stand in Limits and warnings." in page


def test_every_label_of_the_card_is_one_word_for_one_field() -> None:
    assert len(set(checklist.CARD.values())) == len(card.fields())
