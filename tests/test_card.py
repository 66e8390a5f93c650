"""The card: what only a person knows, read strictly, kept in results.json, printed or called not evidenced."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from auditor_plugins.sections import (
    _card,
    changes,
    data,
    limits,
    outcomes,
    oversight,
    reference_standard,
    strategies,
    summary,
    title_block,
)
from example import EXAMPLE
from hypothesis import given
from hypothesis import strategies as st

from auditor import Section, card, config
from auditor.errors import ConfigError
from auditor.evidence import Evidence
from auditor.report import new_environment, section_body
from auditor.results_schema import Results
from auditor.schema import schema

LEAST = "title: T\ndataset: {use: planted}\nmodels: [{use: scores, strategy: bce}]\nreference: bce\n"
PRINTED = (title_block, summary, data, reference_standard, strategies, outcomes, limits, oversight, changes)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))


def read(folder: Path, text: str) -> card.Card:
    (folder / "audit.yaml").write_text(LEAST + text)
    return config.read(folder / "audit.yaml").card


def words(section: type[Section], evidence: Evidence) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", section_body(new_environment(), section, evidence)).split())


def test_texts_and_lists_are_kept_without_their_edges_and_everything_may_be_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, "card: {system: {name: '  Chest finder ', users: [radiologists, ' residents ']}, signers: }\n")
    assert found.system.name == "Chest finder"
    assert found.system.users == ("radiologists", "residents")
    assert card.filled(found.model_dump(mode="json")) == {"system.name", "system.users"}
    assert card.filled(read(tmp_path, "").model_dump(mode="json")) == frozenset()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("card: {sytem: {name: x}}", "5:8: card.sytem: unknown key; allowed: system, data, reference_standard, training, failures, risk, oversight, upkeep, signers; did you mean system?"),
        ("card: {data: {site: x}}", "5:15: card.data.site: unknown key; allowed: source, sites, dates, inclusion, deidentification; did you mean sites?"),
        ("card: {system: {version: 1.2}}", "5:26: card.system.version: found 1.2; allowed: text or a list (write it in quotes: '1.2')"),
        ("card: {system: {name: '   '}}", "5:23: card.system.name: found '   '; allowed: text, not empty or a list"),
        ("card: {system: {users: []}}", "5:24: card.system.users: found a list; allowed: text or a list of at least 1"),
        ("card: {system: chest}", "5:16: card.system: found 'chest'; allowed: a mapping"),
        (f"card: {{signers: {'x' * 2001}}}", f"5:17: card.signers: found '{'x' * 49}...'; allowed: at most 2000 characters or a list"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_card_has_its_place_and_what_is_allowed(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text + "\n")
    assert str(caught.value) == f"{tmp_path / 'audit.yaml'}:{said}"


@given(st.sampled_from(card.fields()), st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=300))
def test_a_field_that_says_something_is_filled_and_no_other(field: str, text: str) -> None:
    value: object = text
    for name in reversed(field.split(".")):
        value = {name: value}
    assert card.filled(card.Card.model_validate(value).model_dump(mode="json")) == {field}


def test_the_schemas_describe_every_field_of_the_card() -> None:
    shape = schema()["$defs"]
    published = Results.model_json_schema(by_alias=True)["$defs"]
    for field in card.fields():
        *groups, name = field.split(".")
        holder = card.groups()[".".join(["card", *groups])].__name__
        assert shape[holder]["properties"][name]["description"]
        assert name in published[holder]["properties"]


def test_every_field_has_a_label_and_is_printed_in_one_section_or_called_not_evidenced(evidence: Evidence) -> None:
    assert set(_card.LABELS) == set(card.fields())
    sections = [module.register_sections()[0] for module in PRINTED]
    marked = {field: f"said of {number} here" for number, field in enumerate(card.fields())}
    full: dict[str, object] = {}
    for field, text in marked.items():
        group, _, name = field.rpartition(".")
        holder = full.setdefault(group, {}) if group else full
        assert isinstance(holder, dict)
        holder[name] = text
    pages = [words(section, replace(evidence, audit={**evidence.audit, "card": full})) for section in sections]
    for field, text in marked.items():
        assert sum(text in page for page in pages) == 1, field
    empty = [words(section, replace(evidence, audit={**evidence.audit, "card": {}})) for section in sections]
    assert sum(page.count("not evidenced") for page in empty) - sum(page.count("not evidenced") for page in pages) == len(
        marked
    )


def test_a_report_of_results_from_before_the_card_still_stands(evidence: Evidence) -> None:
    old = replace(evidence, audit={name: value for name, value in evidence.audit.items() if name != "card"})
    assert "Device or model not evidenced" in words(title_block.TitleBlock, old)


def test_the_title_block_tells_what_the_audit_knows_of_itself(evidence: Evidence) -> None:
    said = words(title_block.TitleBlock, evidence)
    assert "Device or model Chest finder Version 2.1 Owner not evidenced" in said
    assert "Audit 7a41c0ffee5511d0b1e5 Begun on 2026-11-27 Made with auditor 0.1.0" in said


def test_the_data_section_tells_the_flow_and_who_is_on_the_images(evidence: Evidence) -> None:
    said = words(data.Data, evidence)
    assert "25,596 available → 2,803 drawn by the limit; 2,803 listed → 2,797 used; 6 set aside" in said
    assert "sex F 1,249, M 1,541 (2,790)" in said
    assert "age median 49, from 3 to 93 (2,797)" in said
    assert "Audited patients met in training not evidenced" in said
    training = {"met": {"training": 3, "validation": 0}}
    known = replace(evidence, models=tuple({**m, "training": training if n else None} for n, m in enumerate(evidence.models)))
    assert "3 trained on, 0 used to choose the best epoch; not known for 1 of 8 networks" in words(data.Data, known)
    bare = replace(evidence, dataset={**evidence.dataset, "described": {}})
    assert "Age, sex, site or device of the people on the images: not evidenced" in words(data.Data, bare)


def test_failed_maps_are_not_to_be_used_and_unchecked_ones_neither(evidence: Evidence) -> None:
    assert "Do not use these maps for a decision" in words(oversight.Oversight, evidence)
    unchecked = words(oversight.Oversight, replace(evidence, controls=()))
    assert "Nobody checked in this audit" in unchecked
    assert "Do not use these maps" not in unchecked


def test_the_limits_hold_every_alarm_caution_and_note(evidence: Evidence) -> None:
    said = words(limits.Limits, evidence).replace("&#39;", "'").replace("&gt;", ">")
    for finding in evidence.findings:
        if finding.kind != "result":
            assert " ".join(finding.text.split()) in said
    assert "Hernia (6)" in said
    assert "Thresholds were set on the audited images themselves" in said


def test_changed_claims_are_in_the_change_log(evidence: Evidence) -> None:
    assert "The claims were declared before these data were measured." in words(changes.Changes, evidence)
    late = {
        **evidence.audit,
        "claims": {**evidence.audit["claims"], "afterwards": True},
        "gates": {"written": [], "afterwards": False},
    }
    said = words(changes.Changes, replace(evidence, audit=late))
    assert "The claims were written or changed after these data had been measured." in said
    assert "No gates were declared." in said
