"""Maps by outcome in a whole audit, on films whose every outcome is counted by hand; and the cases that the report shows."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor import ExitCode, chosen, closer_look, run
from auditor.by_outcome import cautions
from auditor.chosen import RULE
from auditor.evidence import Evidence, read
from auditor.results_schema import Results
from auditor.statistics.by_outcome import OutcomeRow

Write = Callable[..., Path]
FILMS = Path(__file__).parent / "plugins_for_tests" / "sorted_films.py"
LENS = "preprocessing: {size: 16, mean: [0, 0, 0], std: [1, 1, 1]}"
BATCH, CHUNK = 8, 64


@pytest.fixture
def films(write_audit: Write) -> Write:
    """Writes an audit of the sorted films."""

    def write(folder: Path | None = None, **lines: str) -> Path:
        content = {
            "dataset": "{use: sorted_films}",
            "models": f"\n  - {{use: reads_the_score, strategy: bce, {LENS}}}",
            "attributions": "[written]",
            "analyses": "[outcomes, alignment]",
            "plugins": f"['{FILMS}']",
            "batch": str(BATCH),
        }
        return write_audit(folder, **content | lines)

    return write


def audited(path: Path, out: Path, code: ExitCode = ExitCode.COMPLETE) -> Evidence:
    result = run.run(path, out, device="cpu")
    assert result.exit_code == code, result.messages
    return read(out)


def number(evidence: Evidence, metric: str, outcome: str, class_name: str = "Mass") -> OutcomeRow:
    (found,) = (
        row for row in evidence.by_outcome if (row.metric, row.outcome, row.class_name) == (metric, outcome, class_name)
    )
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    folder = tmp_path_factory.mktemp("films")
    (folder / "audit.yaml").write_text(
        f"title: films\ndataset: sorted_films\nmodels: [{{use: reads_the_score, strategy: bce, {LENS}}}]\nreference: bce\n"
        f"attributions: [written]\nanalyses: [outcomes, alignment]\ncontrols: false\nreport: {{formats: [html]}}\nplugins: ['{FILMS}']\nbatch: {BATCH}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chosen, "PER_OUTCOME", 90)
        return audited(folder / "audit.yaml", folder / "out")


def test_outcomes_are_those_counted_by_hand_and_add_up_to_the_images_used(whole: Evidence) -> None:
    (point,) = whole.operating
    assert point.threshold == pytest.approx(4 * 0.006 * 89, abs=1e-3)
    counts = (point.true_positives, point.false_negatives, point.false_positives, point.true_negatives)
    assert counts == (44, 56, 10, 90)
    assert sum(counts) + point.apart + point.unknown == whole.accounting["used"] == 200
    assert (point.chosen_on, point.chosen_on_patients, point.apart) == (100, 50, 0)
    (sensitivity,) = whole.select("sensitivity", class_name="Mass")
    assert sensitivity.value == pytest.approx(0.44)
    assert sensitivity.low is not None
    assert sensitivity.low < 0.44


def test_one_dead_map_in_ten_is_reported_as_one_in_ten(whole: Evidence) -> None:
    found = {outcome: number(whole, "abstained", outcome) for outcome in ("TP", "FN", "FP", "TN")}
    assert {outcome: row.n for outcome, row in found.items()} == {"TP": 44, "FN": 56, "FP": 10, "TN": 90}
    assert [found[outcome].value for outcome in ("FP", "TN")] == pytest.approx([0.1, 0.1])
    assert [found[outcome].value for outcome in ("TP", "FN")] == pytest.approx([4 / 44, 6 / 56])
    dead = sum(row.value * row.n for row in found.values() if row.value is not None)
    assert dead == pytest.approx(0.1 * 200)


def test_localisation_is_told_for_found_and_missed_apart(whole: Evidence) -> None:
    """On the box CBL is 1; beside it 0 of the 16 brightest pixels are inside: -(16 x 16/256) / (16 - 16 x 16/256) = -1/15."""
    on, beside, dead = 35, 5, 4
    assert number(whole, "cbl", "TP").value == pytest.approx((on - beside / 15) / (on + beside + dead), abs=1e-6)
    assert number(whole, "cbl", "FN").value == pytest.approx(50 / 56, abs=1e-6)
    assert number(whole, "pointing_game", "TP").value == pytest.approx((on + dead / 16) / 44, abs=1e-6)
    kappa = number(whole, "kappa_loc", "FN")
    assert kappa.value is not None
    assert kappa.value > 0.7
    assert kappa.n == 56
    assert not [row for row in whole.by_outcome if row.metric == "cbl" and row.outcome in ("FP", "TN")], "no box, no number"


def test_maps_of_false_positives_lie_where_the_finding_usually_sits(whole: Evidence) -> None:
    """Half of the boxes are at the left and half at the right, so a map on either holds 1 in half of the pairs and -1/15 in half."""
    usual = number(whole, "usual_place", "FP").value
    assert usual == pytest.approx(9 / 10 * (1 - 1 / 15) / 2, abs=0.02)
    assert number(whole, "map_mass", "FP").value == pytest.approx(9 / 10 * 16 / 256, abs=1e-6)
    assert number(whole, "effective_support", "FP").value == pytest.approx(16 / 256, abs=1e-6)
    assert number(whole, "effective_support", "FP").n == 9, "a dead map has no support"


def test_confident_and_off_target_counts_maps_beside_the_box_and_dead_ones(whole: Evidence) -> None:
    row = number(whole, "off_target", "confident TP")
    assert (row.value, row.n) == (pytest.approx(7 / 22), 22)  # j = 78 to 99; 90, 92, 94, 96, 98 beside, 83 and 93 dead
    assert row.low is not None
    assert row.low < 0.2
    assert not [f for f in whole.findings if "off target" in f.text], "7 of 22 do not show that it is more than one in five"


def test_a_caution_needs_an_interval_above_one_in_five_and_twenty_cases() -> None:
    about = {"metric": "off_target", "attribution": "cam", "strategy": "s", "class_name": "Mass", "outcome": "confident TP"}
    rows = [
        OutcomeRow(**about, model="a", value=0.4, missing=None, n=90, low=0.3, high=0.5, n_patients=90),
        OutcomeRow(**about, model="b", value=0.4, missing=None, n=30, low=0.1, high=0.7, n_patients=30),
        OutcomeRow(**about, model="c", value=1.0, missing=None, n=19, low=0.7, high=1.0, n_patients=19),
        OutcomeRow(**about, model="d", value=None, missing="not estimable (n = 0)", n=0),
    ]
    (found,) = cautions(rows)
    assert (found.kind, found.class_name) == ("caution", "Mass")
    assert found.text == (
        "Confident and off target: 1 of 4 networks, where they are right about Mass and surest of it, have in 40 % of the boxed cases a map (CAM) "
        "with no more evidence in the reference box than a box of that size would hold anywhere."
    )
    assert cautions(rows[1:]) == []


def test_the_cases_shown_are_the_furthest_by_the_printed_rule(whole: Evidence) -> None:
    found = {picture.kind: picture for picture in whole.pictures if picture.kind}
    names = {kind: whole_id(picture.case) for kind, picture in found.items()}
    assert names == {"false positive": "0-99", "missed": "1-00", "off target": "1-98"}
    assert found["false positive"].boxes == ()
    assert len(found["missed"].boxes) == len(found["off target"].boxes) == 1
    assert found["missed"].words == f"probability {1 / (1 + np.exp(-0.8)):.3g}, threshold {1 / (1 + np.exp(-4 * 0.534)):.3g}"
    assert whole.audit["chosen_by"] == RULE


def whole_id(case: str) -> str:
    """The film that a case of the report is: negatives come first in order of id."""
    place = int(case.removeprefix("case ")) - 1
    return f"{place // 100}-{place % 100:02d}"


def test_no_class_and_no_patient_is_shown_twice_as_one_kind(write_audit: Write, tmp_path: Path) -> None:
    evidence = audited(write_audit(analyses="[outcomes, alignment]", dataset="{use: tiny, images: 90}"), tmp_path / "out")
    shown = [picture for picture in evidence.pictures if picture.kind]
    groups = Counter((picture.kind, next(iter(picture.maps["gradcam"]))) for picture in shown)
    assert groups
    assert max(groups.values()) == chosen.SHOWN
    for kind, model in groups:
        mine = [picture for picture in shown if picture.kind == kind and model in picture.maps["gradcam"]]
        assert len({picture.class_name for picture in mine}) == len(mine)
        patients = {(int(picture.case.removeprefix("case ")) - 1) // 3 for picture in mine}
        assert len(patients) == len(mine)


def test_the_report_prints_rule_cases_and_numbers(films: Write, tmp_path: Path) -> None:
    audited(films(), tmp_path / "out")
    Results.model_validate(json.loads((tmp_path / "out" / "results.json").read_text()))
    page = (tmp_path / "out" / "report.html").read_text()
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.unescape(page)))
    assert RULE in words
    assert "taken on the 100 audited negatives themselves" in words
    for heading in ("Most confident false alarms", "Most confidently missed", "Confident and off target"):
        assert heading in words
    assert "not estimable (no box)" in words


def test_thresholds_chosen_on_patients_apart_say_so_and_count_them_in_no_outcome(films: Write, tmp_path: Path) -> None:
    evidence = audited(films(analyses="[{use: outcomes, fit: 0.5}, alignment]"), tmp_path / "out")
    (point,) = evidence.operating
    counts = (point.true_positives, point.false_negatives, point.false_positives, point.true_negatives)
    assert 0 < point.apart < 200
    assert sum(counts) + point.apart + point.unknown == 200
    assert point.chosen_on % 2 == 0
    assert point.false_positives + point.true_negatives == 100 - point.chosen_on
    words = re.sub(r"\s+", " ", (tmp_path / "out" / "report.html").read_text())
    assert f"on the {point.chosen_on} negatives of patients set apart" in words


def test_the_closer_look_reads_no_image_and_runs_one_pass_per_chosen_batch(
    films: Write, tmp_path: Path, counts: Counter[str]
) -> None:
    audited(films(attributions="[gradcam, written]"), tmp_path / "out")
    stored = [picture for picture in read(tmp_path / "out").pictures if picture.kind]
    assert all(set(picture.maps) == {"gradcam", "written"} for picture in stored)
    assert counts["reads"] == 200
    rows = read(tmp_path / "out").by_outcome
    looked_at = {
        outcome: next(r.n for r in rows if r.metric == "abstained" and r.outcome == outcome) for outcome in ("FP", "TN")
    }
    assert looked_at == {"FP": 10, "TN": chosen.PER_OUTCOME}
    batches, probes, images = 200 // BATCH, 3, 10 + 40 + 3
    closer = counts["forwards"] - batches - probes
    assert closer <= images // BATCH + 200 // CHUNK + 1, "one forward pass for up to a batch of chosen images, chunk by chunk"
    first = counts.copy()
    before = (tmp_path / "out" / "results.json").read_bytes()
    audited(films(attributions="[gradcam, written]"), tmp_path / "out")
    assert counts == first, "a second run reads and computes nothing"
    assert (tmp_path / "out" / "results.json").read_bytes() == before


def test_without_the_analysis_nothing_is_looked_at_again(films: Write, tmp_path: Path, counts: Counter[str]) -> None:
    evidence = audited(films(analyses="[performance, alignment]"), tmp_path / "out")
    assert counts["forwards"] == 200 // BATCH + 2
    assert evidence.operating == evidence.by_outcome == ()
    assert "list the analysis" in (tmp_path / "out" / "report.html").read_text()


def test_without_pictures_the_numbers_are_the_same(films: Write, tmp_path: Path) -> None:
    shown = audited(films(), tmp_path / "with")
    hidden = audited(films(report="{formats: [html], images: false}"), tmp_path / "without")
    assert hidden.by_outcome == shown.by_outcome
    assert hidden.pictures == ()


def test_a_closer_look_that_was_cut_short_is_finished(films: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = audited(films(), tmp_path / "straight")
    right, calls = closer_look._measure, Counter[str]()

    def stop_at_the_third(*given: Any) -> None:
        calls["batches"] += 1
        if calls["batches"] == 3:
            raise KeyboardInterrupt
        right(*given)

    monkeypatch.setattr(closer_look, "_measure", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run.run(films(), tmp_path / "cut", device="cpu")
    monkeypatch.setattr(closer_look, "_measure", right)
    assert audited(films(), tmp_path / "cut").to_json() == straight.to_json()


def test_a_map_that_is_not_a_number_is_abstained_and_spoils_no_other(films: Write, tmp_path: Path) -> None:
    evidence = audited(films(dataset="{use: sorted_films, broken: true}"), tmp_path / "out")
    assert number(evidence, "abstained", "FN").value == pytest.approx(6 / 56)
    assert number(evidence, "abstained", "FP").value == pytest.approx(1 / 10)
    assert (number(evidence, "cbl", "FN").value, number(evidence, "cbl", "FN").n) == (pytest.approx(1, abs=1e-6), 50)
    assert number(evidence, "map_mass", "FP").n == 9


def test_an_attribution_that_fails_on_negatives_loses_only_them(films: Write, tmp_path: Path) -> None:
    evidence = audited(films(dataset="{use: sorted_films, raises: true}"), tmp_path / "out", ExitCode.INCOMPLETE)
    (gap,) = evidence.gaps[-1:]
    assert (gap.analysis, gap.attribution, gap.n) == ("outcomes", "written", 0)
    assert gap.reason == "failed: RuntimeError: this film cannot be explained"
    assert any("outcomes" in finding.text for finding in evidence.findings if finding.kind == "alarm")
    assert number(evidence, "cbl", "FN").n == 56
    assert not [row for row in evidence.by_outcome if row.outcome in ("FP", "TN")]


def test_a_table_of_scores_has_outcomes_and_no_maps(films: Write, tmp_path: Path) -> None:
    rows = [f"{label}-{j:02d},{0.1 + 0.2 * label + 0.006 * j:.4f}" for label in (0, 1) for j in range(100)]
    (tmp_path / "scores.csv").write_text("image,Mass\n" + "\n".join(rows) + "\n")
    models = f"\n  - {{use: scores, strategy: bce, table: '{tmp_path / 'scores.csv'}', values: probabilities}}"
    evidence = audited(films(models=models, analyses="[outcomes]"), tmp_path / "out")
    (point,) = evidence.operating
    assert (point.true_positives, point.false_positives) == (44, 10)
    assert evidence.by_outcome == ()


def test_a_class_without_positives_says_why_and_still_tells_its_false_alarms(write_audit: Write, tmp_path: Path) -> None:
    evidence = audited(write_audit(analyses="[outcomes, alignment]", dataset="{use: tiny, only: Nodule}"), tmp_path / "out")
    mass = {(row.metric, row.outcome): row for row in evidence.by_outcome if row.class_name == "Mass" and row.strategy == "bce"}
    assert mass["cbl", "TP"].missing == "not estimable (n = 0)"
    assert mass["usual_place", "FP"].value is None
    assert mass["abstained", "TN"].value is not None
