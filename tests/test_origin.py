"""What an audit knows of how its networks were trained, and whom they have met before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.evidence import Evidence
from auditor.origin import met_before
from auditor.statistics.rows import Cohort
from auditor.trained import Trained, met, patient_key

COHORT = Cohort(("a",), np.array([0, 0, 1, 2]), np.zeros((4, 1), np.int8))


def network(folder: Path, training: list[str], validation: list[str], dataset: str = "films") -> Trained:
    sides = {"training": training, "validation": validation}
    keys = {side: [patient_key(dataset, name) for name in names] for side, names in sides.items()}
    (folder / "patients.json").write_text(json.dumps(keys))
    (folder / "net").mkdir(exist_ok=True)
    return Trained(folder / "net", {"patients": "../patients.json"})


def test_patients_that_were_met_are_counted_by_side(tmp_path: Path) -> None:
    found = met(network(tmp_path, ["p1", "p2"], ["p3"]), "films", ["p2", "p3", "p3", "p4"])
    assert found == {"training": 1, "validation": 1}


def test_a_patient_of_another_data_set_is_another_patient(tmp_path: Path) -> None:
    assert met(network(tmp_path, ["p1"], []), "other films", ["p1"]) == {"training": 0, "validation": 0}


def test_names_of_patients_are_not_written(tmp_path: Path) -> None:
    network(tmp_path, ["Jane-Doe-1950"], [])
    assert "Doe" not in (tmp_path / "patients.json").read_text()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"training": 3, "validation": []}'])
def test_where_the_list_is_missing_or_damaged_nothing_is_known(tmp_path: Path, content: str | None) -> None:
    known = network(tmp_path, ["p1"], [])
    (tmp_path / "patients.json").unlink()
    if content is not None:
        (tmp_path / "patients.json").write_text(content)
    assert met(known, "films", ["p1"]) is None


@given(st.sets(st.text(min_size=1)), st.sets(st.text(min_size=1)))
def test_keys_of_patients_meet_exactly_where_the_patients_do(mine: set[str], theirs: set[str]) -> None:
    ours, others = ({patient_key("films", name) for name in names} for names in (mine, theirs))
    assert len(ours & others) == len(mine & theirs)


def findings(*found: Any) -> list[tuple[str, str]]:
    models = [{"training": {"met": each}} if each != "untold" else {"training": None} for each in found]
    return [(finding.kind, finding.text) for finding in met_before(models, COHORT)]


def test_an_audit_on_training_patients_opens_with_an_alarm() -> None:
    ((kind, text),) = findings({"training": 2, "validation": 0}, {"training": 2, "validation": 0})
    assert kind == "alarm"
    assert text.startswith("2 of the 3 audited patients were in the training images")


def test_an_audit_on_validation_patients_says_that_this_flatters() -> None:
    ((kind, text),) = findings({"training": 0, "validation": 3})
    assert kind == "note"
    assert "chosen on 3 of the 3 audited patients" in text


def test_strangers_are_said_to_be_strangers_and_the_unknown_unknown() -> None:
    assert findings({"training": 0, "validation": 0})[0][1].startswith("None of the 3 audited patients")
    assert findings(None, "untold")[0][1] == "Whether the audited patients were trained on is not known for 1 of the 1 network."
    assert findings("untold") == []


def test_the_section_on_strategies_tells_how_each_network_was_trained(evidence: Evidence) -> None:
    from dataclasses import replace

    from auditor_plugins.sections.strategies import Strategies

    training = {
        "strategy": [{"use": "bce", "options": {"scale": 1.0}}, {"use": "asymmetric_mixup", "options": {}}],
        "pretrained": None, "recipe": {"name": "small", "epochs": 8, "batch": 64, "rate": 0.002}, "images": 3000,
        "best_epoch": 7, "validation_auroc": None, "met": None,
    }  # fmt: skip
    first, *others = ({**model, "training": None} for model in evidence.models)
    shown = Strategies().context(replace(evidence, models=({**first, "training": training}, *others)))["trainings"]
    assert len(shown) == 1
    assert shown[0]["parts"] == "bce (scale 1.0) with asymmetric_mixup (no options)"
    assert (shown[0]["best"], shown[0]["auroc"], shown[0]["start"]) == ("7 of 8", "not estimable", "drawn from the seed")
