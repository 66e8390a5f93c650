"""The self-test passes as things are, and finds each of many ways to be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from auditor_plugins.analyses import alignment, pixel_logit_shift
from auditor_plugins.analyses.dissection import Dissection
from auditor_plugins.analyses.logit_shift import LogitShift
from auditor_plugins.analyses.performance import Performance
from auditor_plugins.attributions.gradcam import GradCam

import auditor.batch
from auditor import (
    ExitCode,
    accounts,
    copies,
    detecting,
    latent,
    passes,
    pixel_answers,
    placement,
    plan,
    self_test,
    subgroups,
    thresholds,
    unit_tops,
)
from auditor.boxes import Edges, pixel_edges
from auditor.dataset import Box
from auditor.network import Network
from auditor.run import run
from auditor.statistics import calibrated, operating, permuted, split_numbers
from auditor.statistics import subgroups as by_group
from auditor.statistics.ranking import Ranking

ALL = (
    "performance", "outcomes", "calibration", "alignment", "dissection", "logit_shift", "embeddings", "detectors", "pixel_logit_shift",
    "subgroups", "copies",
)  # fmt: skip
Patch = pytest.MonkeyPatch


def failures(*analyses: str) -> dict[str, list[str]]:
    outcome = self_test.take.__wrapped__(analyses or ALL, "cpu")
    found: dict[str, list[str]] = {}
    for analysis, words in outcome.failed:
        found.setdefault(analysis, []).append(words)
    return found


def test_planted_truth_is_recovered() -> None:
    outcome = self_test.take(ALL, "cpu")
    assert outcome.failed == ()
    assert outcome.passed == outcome.of == len(self_test.checks())


def test_only_what_the_audit_uses_is_tried() -> None:
    few, all_of_them = self_test.take(("performance", "mine"), "cpu"), self_test.take(ALL, "cpu")
    assert 0 < few.of < all_of_them.of
    assert few.failed == ()


def test_an_edge_on_a_pixel_border_stays_there_however_fractions_round() -> None:
    """Found by the self-test: 14/48 of an image, less a crop of 8/48, came out a whole pixel further."""
    box = Box("a", 0.0, 0.0, (14 / 48 - 8 / 48) / (32 / 48), 1.0)
    assert pixel_edges(box, 32, 32) == Edges(0, 0, 6, 32)
    assert pixel_edges(Box("a", 0.0, 0.0, 6.001 / 32, 1.0), 32, 32).right == 7


def swapped(patch: Patch) -> None:
    edges = pixel_edges

    def across(box: Box, height: int, width: int, *rest: Any) -> Edges:
        found = edges(box, height, width, *rest)
        return Edges(found.top, found.left, found.bottom, found.right)

    patch.setattr(auditor.batch, "pixel_edges", across)


def crop_ignored(patch: Patch) -> None:
    patch.setattr(auditor.batch, "within", lambda box, frame: box)


def sign_flipped(patch: Patch) -> None:
    explain = GradCam.explain
    patch.setattr(GradCam, "explain", lambda *given: (-explain(*given)).add(1))


def outputs_by_position(patch: Patch) -> None:
    patch.setattr(passes, "Network", lambda module, outputs, *rest: Network(module, range(len(outputs)), *rest))


def ranking_reversed(patch: Patch) -> None:
    auroc = Ranking.auroc
    patch.setattr(Ranking, "auroc", lambda self, *given: 1 - auroc(self, *given))


def precision_is_auroc(patch: Patch) -> None:
    patch.setattr(Ranking, "average_precision", Ranking.auroc)


def overlaps_exchanged(patch: Patch) -> None:
    right = alignment.overlaps

    def wrong(*sums: Any) -> dict[str, Any]:
        found = right(*sums)
        return {**found, "iobb": found["ior"], "ior": found["iobb"]}

    patch.setattr(alignment, "overlaps", wrong)


def maps_not_scaled(patch: Patch) -> None:
    patch.setattr(alignment, "unit_range", lambda maps: maps)


def quantile_from_the_other_end(patch: Patch) -> None:
    right = thresholds.linear
    patch.setattr(thresholds, "linear", lambda values, share: right(values, 1 - share))


def resolved(**options: Any) -> Callable[[Patch], None]:
    def wrong(self: Dissection) -> Dissection:
        other = copy(self)
        vars(other).update(options)
        return other

    def change(patch: Patch) -> None:
        patch.setattr(Dissection, "resolved", wrong)

    return change


def odds_upside_down(patch: Patch) -> None:
    def measure(self: Performance, batch: Any) -> dict[str, Any]:
        return {"logit": batch.logits.numpy(), "probability": (-batch.logits).sigmoid().numpy()}

    patch.setattr(Performance, "measure", measure)


def threshold_from_the_other_end(patch: Patch) -> None:
    patch.setattr(operating, "threshold", lambda negatives, _: float(negatives.min()) - 1)


def every_image_a_patient(patch: Patch) -> None:
    right = accounts.cohort

    def wrong(made: plan.Plan, used: Any) -> Any:
        return replace(right(made, used), patients=np.arange(len(made.samples)))

    patch.setattr(accounts, "cohort", wrong)


def nothing_quarantined(patch: Patch) -> None:
    patch.setattr(accounts, "taken", lambda *_: accounts.Account([], {}))


def image_shifted(patch: Patch) -> None:
    right = passes.fed
    patch.setattr(passes, "fed", lambda *given: right(*given).roll(1, 3))


def threshold_too_high(patch: Patch) -> None:
    patch.setattr(operating, "threshold", lambda negatives, _: float(negatives.max()))


def last_bin_open(patch: Patch) -> None:
    def ece(p: Any, y: Any, patient: Any) -> Any:
        inside = p < p.max()
        found = right(p[inside], y[inside], patient[inside])
        return found if isinstance(found, str) else found._replace(value=found.value * inside.mean())

    right = calibrated._ece
    patch.setattr(calibrated, "_ece", ece)


def intercept_without_offset(patch: Patch) -> None:
    right = calibrated._shift
    patch.setattr(calibrated, "_shift", lambda z, y: right(0 * z, y))


def chance_not_subtracted(patch: Patch) -> None:
    def share(inside: Any, best: Any, size: Any) -> Any:
        return inside / best[np.nan_to_num(size).astype(np.int64)]

    patch.setattr(placement, "_cbl", share)


def placed_otherwise(patch: Patch, change: Callable[[Any, Any, Any], Any]) -> None:
    right = placement.placed
    patch.setattr(alignment, "placed", lambda pixels, where: change(right(pixels, where), pixels, where))


def constant_map_rewarded(patch: Patch) -> None:
    placed_otherwise(patch, lambda found, pixels, _: found if np.ptp(pixels) else found._replace(cbl=found.cbl + 1))


def first_peak_only(patch: Patch) -> None:
    def first(found: Any, pixels: Any, where: Any) -> Any:
        peak = np.zeros_like(pixels)
        peak.ravel()[pixels.argmax()] = 1
        return found._replace(pointing=placement.sums(peak, where))

    placed_otherwise(patch, first)


def permuted_otherwise(patch: Patch, statistic: str, change: Callable[[Any, Any], Any]) -> None:
    right = permuted._combined
    patch.setattr(permuted, "_combined", lambda of, *means: change(*means) if of == statistic else right(of, *means))


def others_are_own(patch: Patch) -> None:
    right = permuted._combined
    patch.setattr(permuted, "_combined", lambda of, here, _: right(of, here, here * 0.999))


def lift_without_log(patch: Patch) -> None:
    permuted_otherwise(patch, "lift", lambda here, elsewhere: here / elsewhere)


def kappa_is_excess(patch: Patch) -> None:
    permuted_otherwise(patch, "kappa", lambda here, elsewhere: here - elsewhere)


def margins_not_turned(patch: Patch) -> None:
    right = LogitShift.measure

    def measure(self: LogitShift, batch: Any) -> dict[str, Any]:
        found = dict(right(self, batch))
        return {**found, "margin_negative": -found["margin_negative"]}

    patch.setattr(LogitShift, "measure", measure)


def splits_exchanged(patch: Patch) -> None:
    right = split_numbers.between
    patch.setattr(split_numbers, "between", lambda statistic, audited, training: right(statistic, training, audited))


def nothing_charged(patch: Patch) -> None:
    right = latent.needed
    patch.setattr(latent, "needed", lambda evidence, bias, bar: right(np.maximum(evidence, 0), 0 * bias, bar))


def all_counted(patch: Patch) -> None:
    def needed(evidence: Any, bias: Any, bar: Any) -> latent.Needed:
        found = right(evidence, bias, bar)
        return found._replace(number=(evidence > 0).sum(1))

    right = latent.needed
    patch.setattr(latent, "needed", needed)


def copies_overlooked(patch: Patch) -> None:
    patch.setattr(copies, "find", lambda *_: [])


def precision_is_sensitivity(patch: Patch) -> None:
    right = pixel_logit_shift.outline

    def outline(called: Any, truth: Any) -> dict[str, float]:
        found = right(called, truth)
        return {**found, "pixel_precision": found["pixel_sensitivity"], "pixel_sensitivity": found["pixel_precision"]}

    patch.setattr(pixel_logit_shift, "outline", outline)


def outlined_beside(patch: Patch) -> None:
    right = pixel_answers.beyond
    patch.setattr(pixel_answers, "beyond", lambda *given: right(*given).roll(1, 2))


def outside_not_turned(patch: Patch) -> None:
    patch.setattr(pixel_logit_shift, "SIDES", {**pixel_logit_shift.SIDES, "background": (1, "outside it", "called falsely")})


def boxes_not_permuted(patch: Patch) -> None:
    patch.setattr(detecting, "permutations", lambda patient, count, _: np.tile(np.arange(len(patient)), (count, 1)))


def nothing_by_chance(patch: Patch) -> None:
    patch.setattr(detecting, "SIGNIFICANT", 1.1)


def several_films_of_a_patient(patch: Patch) -> None:
    right = unit_tops._enter

    def enter(flat: Any, peak: Any, floor: Any, limits: Any, owners: Any, first: int, *rest: Any) -> None:
        right(flat, peak, floor, limits, first + np.arange(len(owners)), first, *rest)

    patch.setattr(unit_tops, "_enter", enter)


def groups_exchanged(patch: Patch) -> None:
    right = subgroups.groups

    def wrong(*given: Any) -> Any:
        found = right(*given)
        return found._replace(names=tuple(reversed(found.names)))

    patch.setattr(subgroups, "groups", wrong)


def small_groups_told(patch: Patch) -> None:
    patch.setattr(by_group, "LEAST_PATIENTS", 1)
    patch.setattr(by_group, "LEAST_OF_A_KIND", 1)


MUTATIONS: dict[str, tuple[Callable[[Patch], None], set[str]]] = {
    "rows and columns of the boxes are exchanged": (swapped, {"alignment", "dissection"}),
    "boxes are not moved into the crop": (crop_ignored, {"alignment", "dissection"}),
    "the sign of the maps is flipped": (sign_flipped, {"alignment"}),
    "outputs are matched by position": (
        outputs_by_position,
        {"performance", "outcomes", "calibration", "alignment", "logit_shift", "embeddings"},
    ),
    "scores are ranked upside down": (ranking_reversed, {"performance", "subgroups"}),
    "average precision is really AUROC": (precision_is_auroc, {"performance"}),
    "the threshold is taken from the other end": (threshold_from_the_other_end, {"outcomes"}),
    "IoBB and IoR are exchanged": (overlaps_exchanged, {"alignment"}),
    "maps are not scaled to 0..1": (maps_not_scaled, {"alignment"}),
    "the quantile is taken from the other end": (quantile_from_the_other_end, {"dissection"}),
    "pixels equal to the threshold are active": (resolved(ties="ge"), {"dissection"}),
    "holes are counted": (resolved(count_holes=True), {"dissection"}),
    "probabilities are of absence": (odds_upside_down, {"performance"}),
    "every image is taken for a patient": (every_image_a_patient, {"alignment"}),
    "an unreadable image is dropped in silence": (nothing_quarantined, {""}),
    "the threshold is one negative too high": (threshold_too_high, {"outcomes"}),
    "the surest predictions are in no bin": (last_bin_open, {"calibration"}),
    "the intercept is of all that was said, not added to it": (intercept_without_offset, {"calibration"}),
    "chance is left in CBL": (chance_not_subtracted, {"alignment"}),
    "a constant map has all its evidence in the box": (constant_map_rewarded, {"alignment"}),
    "only the first of tied peaks counts": (first_peak_only, {"alignment"}),
    "a map meets the boxes of its own patient alone": (others_are_own, {"alignment", "dissection"}),
    "lift is not a logarithm": (lift_without_log, {"dissection"}),
    "kappa is the excess": (kappa_is_excess, {"alignment"}),
    "margins keep their sign without the finding": (margins_not_turned, {"logit_shift"}),
    "training and audited images are exchanged": (splits_exchanged, {"logit_shift", "embeddings", "pixel_logit_shift"}),
    "evidence against is not charged": (nothing_charged, {"embeddings"}),
    "every feature that speaks for it is counted": (all_counted, {"embeddings"}),
    "images are a pixel beside their boxes": (image_shifted, {"alignment", "dissection", "detectors", "pixel_logit_shift"}),
    "a film that is there twice is overlooked": (copies_overlooked, {"copies"}),
    "precision and sensitivity of an outline are exchanged": (precision_is_sensitivity, {"pixel_logit_shift"}),
    "outlines are a pixel below their masks": (outlined_beside, {"pixel_logit_shift"}),
    "pixels outside findings are taken for those inside": (outside_not_turned, {"pixel_logit_shift"}),
    "boxes are never permuted": (boxes_not_permuted, {"detectors"}),
    "what boxes of others explain is no bar": (nothing_by_chance, {"detectors"}),
    "two films of a patient are among the top images": (several_films_of_a_patient, {"dissection"}),
    "groups are told under each other's names": (groups_exchanged, {"subgroups"}),
    "groups of eight patients are told": (small_groups_told, {"subgroups"}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("mutate", "blamed"), MUTATIONS.values(), ids=list(MUTATIONS))
def test_a_mutation_is_caught_and_blamed_on_what_it_spoils(
    mutate: Callable[[Patch], None], blamed: set[str], monkeypatch: Patch
) -> None:
    mutate(monkeypatch)
    assert set(failures()) == blamed


def test_a_failed_check_says_what_was_found_and_what_is_right(monkeypatch: Patch) -> None:
    overlaps_exchanged(monkeypatch)
    words = failures("alignment")["alignment"]
    assert "iobb of a map that shows its finding: found 1, 1, " in words[0]
    assert ", right is 0.577083, 0.46, 0.43" in words[0]


def test_an_analysis_that_fails_the_self_test_is_not_run_and_the_report_opens_with_it(
    write_audit: Callable[..., Path], tmp_path: Path, monkeypatch: Patch
) -> None:
    outcome = self_test.Outcome(3, (("alignment", "iobb of something: found 1, right is 2"),))
    monkeypatch.setattr(self_test, "take", lambda *_: outcome)
    ended = run(write_audit(), tmp_path / "out", device="cpu")
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert ended.exit_code == ExitCode.INCOMPLETE
    assert found["self_test"] == {"passed": 2, "of": 3, "failed": ["alignment: iobb of something: found 1, right is 2"]}
    assert not [row for row in found["summaries"] if row["analysis"] == "alignment"]
    assert [row for row in found["summaries"] if row["analysis"] == "performance"]
    assert any("self-test" in row["text"] for row in found["findings"] if row["kind"] == "alarm")
    assert "2 of 3" in (tmp_path / "out" / "report.html").read_text()


def test_the_next_run_measures_what_the_self_test_no_longer_blocks(
    write_audit: Callable[..., Path], tmp_path: Path, monkeypatch: Patch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(self_test, "take", lambda *_: self_test.Outcome(1, (("alignment", "wrong"),)))
        run(write_audit(), tmp_path / "out", device="cpu")
    assert run(write_audit(), tmp_path / "out", device="cpu").exit_code == ExitCode.COMPLETE


def test_something_that_raises_fails_the_checks_instead_of_the_audit(monkeypatch: Patch) -> None:
    monkeypatch.setattr(passes, "run", lambda *_: 1 / 0)
    outcome = self_test.take.__wrapped__(("performance",), "cpu")
    assert outcome.passed == 0
    assert "ZeroDivisionError" in outcome.failed[0][1]
