"""What went wrong in other tools does not go wrong here: each defect once, small, by the path that an audit takes.

Where the peer is at hand and shows its defect cheaply, the test shows it too, so that nobody takes the guard for a formality.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.analyses._apart import apart
from auditor_plugins.analyses.alignment import Alignment
from auditor_plugins.analyses.calibration import Calibration
from auditor_plugins.analyses.dissection import Dissection
from auditor_plugins.attributions.cam import Cam
from auditor_plugins.attributions.captum_ import CaptumAttribution
from auditor_plugins.attributions.gradcam import GradCam

from auditor import Attribution, Box, Cases, Evidence, ExitCode, Network, PluginError, Sample
from auditor.batch import Batch
from auditor.evidence import read
from auditor.run import run
from auditor.statistics.rows import BASELINE
from auditor.testing import (
    CLASSES,
    BrightnessNetwork,
    ContractBroken,
    check_analysis,
    check_attribution,
    planted_images,
    planted_network,
    planted_samples,
)

METHODS = [Cam(), GradCam(), CaptumAttribution("Saliency"), CaptumAttribution("LayerGradCam")]
METHOD_NAMES = ["cam", "gradcam", "captum Saliency", "captum LayerGradCam"]
Write = Callable[..., Path]
FOUR = Cases(torch.arange(4), torch.zeros(4, dtype=torch.int64))


@pytest.fixture
def four() -> tuple[Network, torch.Tensor]:
    """The planted network and four images of 32 x 48 pixels."""
    images = planted_images(planted_samples())[:4]
    return planted_network(images), images


@pytest.fixture
def audited(write_audit: Write, tmp_path: Path) -> Callable[..., Evidence]:
    """Runs the tiny audit with these lines in a folder of its own and gives its evidence."""

    def audit(name: str, **lines: str) -> Evidence:
        run(write_audit(tmp_path / name, **lines), tmp_path / name / "out", device="cpu")
        return read(tmp_path / name / "out")

    return audit


def numbers(evidence: Evidence, *metrics: str) -> dict[tuple[str, str, str], float | None]:
    """{(metric, strategy, class): value} of the networks, for these metrics or for all."""
    rows = [row for row in evidence.summaries if row.strategy != BASELINE and (row.metric in metrics or not metrics)]
    return {(row.metric, row.strategy, row.class_name): row.value for row in rows}


# D1: imba-explain takes the activation threshold from whichever images share a batch


def test_d1_concepts_do_not_depend_on_which_images_share_a_batch(audited: Callable[..., Evidence]) -> None:
    lines = {"attributions": "[]", "analyses": "[{use: dissection, quantile: 0.04}]"}
    alone, together = (numbers(audited(batch, batch=batch, **lines)) for batch in ("1", "16"))
    assert alone == together
    assert alone["unique_concepts", "bce", "(image)"]


def test_d1_the_thresholds_of_the_peer_give_other_concepts_for_other_batches(audited: Callable[..., Evidence]) -> None:
    preset = "[{{use: dissection, quantile: 0.04, preset: imba-explain, batch: {}}}]"
    alone, together = (
        numbers(audited(batch, attributions="[]", analyses=preset.format(batch)), "unique_concepts")["unique_concepts", "bce", "(image)"]
        for batch in ("1", "40")
    )  # fmt: skip
    assert alone is not None
    assert together is not None
    assert alone > together > 0


# D2: imba-explain credits the count of an image to every label that it has


def test_d2_a_concept_counts_for_the_class_in_whose_box_it_lies_and_for_no_other() -> None:
    left, right = Box("Nodule", 0, 0, 0.5, 1), Box("Effusion", 0.5, 0, 1, 1)
    samples = [Sample("a", "p", (1, 1, 0), (left, right)), Sample("b", "q", (0, 1, 0), (right,))]
    features = torch.zeros(2, 1, 4, 8)
    features[0, 0, 1, 1] = 1.0
    analysis = Dissection(quantile=0.02, others=0)
    batch, tallies = Batch(samples, CLASSES, size=(4, 8), features=features), analysis.tallies()
    cases, _ = batch.cases(analysis.needs)
    view = batch.view(analysis.needs, cases, None, tallies)
    analysis.observe(tallies, view)
    found = dict(zip(cases, analysis.measure(view)["disjoint_concepts"].tolist(), strict=True))
    assert found == {(0, -1): 1, (0, 0): 1, (0, 1): 0, (1, -1): 0, (1, 1): 0}


# D3: MONAI's GradCAM back-propagates the sum over the batch; D4: its GradCAMpp mixes batch and width up


def monai_maps(method: str, images: torch.Tensor, target: int | None = None, **options: Any) -> torch.Tensor:
    import monai.visualize

    explain = getattr(monai.visualize, method)(BrightnessNetwork(), "features", **options)
    return explain(images.float().requires_grad_(), class_idx=target).detach()


def test_d3_maps_of_a_batch_are_those_of_the_images_one_by_one(four: tuple[Network, torch.Tensor]) -> None:
    network, images = four
    for method in METHODS:
        together = method.explain(network, images, FOUR)
        for number in range(4):
            one = method.explain(network, images[number : number + 1], Cases(torch.tensor([0]), torch.tensor([0])))
            torch.testing.assert_close(one[0], together[number], rtol=1e-9, atol=1e-12)
    alike = images[:1].expand(4, -1, -1, -1)
    alone, batch = (monai_maps("GradCAM", part, postprocessing=lambda map_: map_) for part in (alike[:1], alike))
    torch.testing.assert_close(batch[0], 4 * alone[0])


@pytest.mark.parametrize("size", [(4, 32, 48), (6, 24, 12), (12, 24, 24), (5, 8, 40)])
def test_d4_any_number_of_images_of_any_shape_gets_maps(size: tuple[int, int, int]) -> None:
    """Maps are half as high and wide as the images: in the third case there are as many images as the maps have columns."""
    count, height, width = size
    images = torch.rand((count, 3, height, width), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    network, cases = planted_network(images), Cases(torch.arange(count), torch.zeros(count, dtype=torch.int64))
    for method in (Cam(), GradCam()):
        maps = method.explain(network, images, cases)
        assert maps.shape == (count, height // 2, width // 2)
        last = method.explain(network, images[-1:], Cases(torch.tensor([0]), torch.tensor([0])))
        torch.testing.assert_close(last[0], maps[-1], rtol=1e-9, atol=1e-12)
    if count != width // 2:
        with pytest.raises(RuntimeError, match="must match the size of tensor"):
            monai_maps("GradCAMpp", images)


# D5: MONAI's maps are inverted unless told otherwise


class Inverted(GradCam):
    """As MONAI's default post-processing leaves a map: its peak is 0."""

    name = "inverted"

    def explain(self, network: Network, images: torch.Tensor, cases: Cases) -> torch.Tensor:
        maps = super().explain(network, images, cases)
        return maps.amax((1, 2), keepdim=True) - maps


def test_d5_the_evidence_is_where_the_map_is_high_and_a_map_upside_down_is_refused(four: tuple[Network, torch.Tensor]) -> None:
    _, images = four
    for method in METHODS:
        check_attribution(method)
    with pytest.raises(ContractBroken, match="polarity"):
        check_attribution(Inverted())
    raw, finished = (monai_maps("GradCAM", images[:1], 0, **how) for how in ({"postprocessing": lambda map_: map_}, {}))
    assert finished.flatten()[raw.argmax()] == 0
    assert finished.flatten()[raw.argmin()] == 1


# D6: pytorch-grad-cam stops at the shorter of targets and outputs; D7: a mean over the batch couples its images


class OnlyTheFirst(GradCam):
    """One map, however many were asked for."""

    name = "only_the_first"

    def explain(self, network: Network, images: torch.Tensor, cases: Cases) -> torch.Tensor:
        return super().explain(network, images, cases)[:1]


def test_d6_every_case_gets_a_map_of_its_own_and_too_few_maps_are_refused(four: tuple[Network, torch.Tensor]) -> None:
    network, images = four
    for method in METHODS:
        assert (method.explain(network, images, FOUR).flatten(1) != 0).any(1).all()
    batch = Batch(planted_samples()[:4], CLASSES, size=(32, 48), network=network, images=images)
    with pytest.raises(PluginError, match=r"only_the_first gave \[1, 16, 24\] for 4 cases, not maps \[4, h, w\]"):
        batch.maps(OnlyTheFirst(), FOUR)


class Coupled(GradCam):
    """Scaled by what all images of the batch have in common."""

    name = "coupled"

    def explain(self, network: Network, images: torch.Tensor, cases: Cases) -> torch.Tensor:
        return super().explain(network, images, cases) / images.mean()


@pytest.mark.parametrize("method", METHODS, ids=METHOD_NAMES)
def test_d7_changing_one_image_leaves_the_maps_of_the_others_bit_equal(
    method: Attribution, four: tuple[Network, torch.Tensor]
) -> None:
    network, images = four
    changed = images.clone()
    changed[0] = 1 - changed[0]
    before, after = method.explain(network, images, FOUR), method.explain(network, changed, FOUR)
    assert torch.equal(before[1:], after[1:])
    assert not torch.equal(before[0], after[0])


def test_d7_a_method_that_couples_the_images_of_a_batch_is_refused() -> None:
    with pytest.raises(ContractBroken, match="depends on the other images"):
        check_attribution(Coupled())


# D8: rai-audit's last bin is open, MONAI's metric takes no plain table of several findings


def test_d8_a_network_that_is_certain_and_wrong_is_not_called_calibrated(
    audited: Callable[..., Evidence], tmp_path: Path
) -> None:
    """Three findings at once. Half of the probabilities are 1, all wrong; the other half .05, all right: |1 - 0| / 2 + .05 / 2."""
    rows = [f"image-{number:03d},{','.join(['1.0' if number % 2 else '0.05'] * 3)}" for number in range(60)]
    (tmp_path / "scores.csv").write_text("\n".join(["image,Nodule,Effusion,Mass", *rows]))
    table = f"[{{use: scores, strategy: certain, table: '{tmp_path / 'scores.csv'}', values: probabilities}}]"
    evidence = audited(
        "certain", dataset="{use: tiny, images: 60, only: none}", models=table, reference="certain", attributions="[]", analyses="[calibration]"
    )  # fmt: skip
    measured = [number for number in range(60) if not apart(f"patient-{number // 3}", Calibration().fit)]
    certain = sum(number % 2 for number in measured) / len(measured)
    found = numbers(evidence, "ece")
    for name in ("Nodule", "Effusion", "Mass"):
        assert found["ece", "certain", name] == pytest.approx(certain * 1 + (1 - certain) * 0.05)
    assert all(sum(curve.n) == 3 * len(measured) for curve in evidence.curves if not curve.after)


def test_d8b_monai_takes_no_table_of_images_and_findings() -> None:
    from monai.metrics import CalibrationErrorMetric

    with pytest.raises(ValueError, match="y_pred must have shape"):
        CalibrationErrorMetric()(torch.rand(4, 3), torch.zeros(4, 3, dtype=torch.int64))


# D9: Quantus prints exceptions and goes on; the options of a method reach the next


def test_d9_what_fails_is_told_and_ends_the_audit_as_incomplete(write_audit: Write, tmp_path: Path) -> None:
    ended = run(write_audit(analyses="[performance, stumbling]"), tmp_path / "out", device="cpu")
    evidence = read(tmp_path / "out")
    assert ended.exit_code == ExitCode.INCOMPLETE
    assert {(gap.analysis, gap.reason) for gap in evidence.gaps} == {("stumbling", "failed: ZeroDivisionError: on purpose")}
    assert any("stumbling" in finding.text for finding in evidence.findings if finding.kind == "alarm")
    assert numbers(evidence, "auroc")["auroc", "bce", "(macro)"] is not None


def test_d9_the_options_of_one_method_do_not_reach_the_next(four: tuple[Network, torch.Tensor]) -> None:
    network, images = four
    plain = CaptumAttribution("Occlusion")
    before = plain.explain(network, images, FOUR)
    CaptumAttribution("Occlusion", {"sliding_window_shapes": 4, "strides": 4}).explain(network, images, FOUR)
    assert torch.equal(plain.explain(network, images, FOUR), before)


# D10: NetDissect-Lite calls what NumPy and SciPy no longer have


def numpy_names(path: Path) -> set[str]:
    """What a file takes from `np`."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "np"}


def test_d10_the_dissector_runs_on_the_numpy_of_today_and_takes_nothing_from_it_that_is_gone() -> None:
    assert int(np.__version__.split(".")[0]) >= 2
    check_analysis(Dissection())
    root = Path(__file__).resolve().parent.parent
    taken = {name for part in ("auditor", "plugins") for path in (root / part).rglob("*.py") for name in numpy_names(path)}
    assert "quantile" in taken
    assert {name for name in taken if not hasattr(np, name)} == set()
    assert not hasattr(np, "NaN")


# D11: results of lm-evaluation-harness move with the batch size


def test_d11_numbers_do_not_move_with_the_batch_size_and_the_audit_says_how_far_maps_do(
    audited: Callable[..., Evidence],
) -> None:
    lines = {"dataset": "{use: tiny, images: 24}", "analyses": "[performance, alignment]"}
    alone, several = audited("1", batch="1", **lines), audited("8", batch="8", controls="true", **lines)
    first, second = numbers(alone), numbers(several)
    compared = [key for key, value in first.items() if value is not None and not key[0].endswith("elsewhere")]
    assert {"auroc", "probability", "kappa_loc", "cbl"} <= {key[0] for key in compared}
    np.testing.assert_allclose([second[key] for key in compared], [first[key] for key in compared], atol=1e-5)
    told = [row for row in several.controls if row.check == "batch_independence"]
    assert {row.strategy for row in told} == {"bce", "focal"}
    assert {row.outcome for row in told} == {"passed"}
    assert all(row.numbers["difference"] is not None and row.numbers["difference"] < 1e-5 for row in told)


def test_every_analysis_measures_the_same_whoever_shares_the_batch() -> None:
    check_analysis(Alignment(), GradCam())
