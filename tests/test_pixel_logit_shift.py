"""Networks that answer for every pixel: T-C6 from image to report, the sampling rule, masks, and what is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.analyses.pixel_logit_shift import PixelLogitShift, outline
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from auditor import AuditError, ConfigError, ModelRefused, Sample, run
from auditor.batch import Batch
from auditor.network import Network
from auditor.pixel_answers import beyond
from auditor.registry import Registry
from auditor.statistics.between_splits import NO_TRAINING

Write = Callable[..., Path]
OUTLINED = Path(__file__).parent / "plugins_for_tests" / "outlined.py"


@pytest.fixture
def write_outlined(write_audit: Write) -> Write:
    """Writes the audit.yaml of one network that reads known answers off the pixels, with its training images."""

    def write(folder: Path | None = None, model: str = "", more: str = "", **lines: str) -> Path:
        content = {
            "dataset": "{use: outlined}", "training_images": "{split: train}",
            "models": f"\n  - {{use: stencil, strategy: bce{model}}}{more}", "attributions": "[]",
            "analyses": "[pixel_logit_shift]", "plugins": f"['{OUTLINED}']", "max_quarantine": "0.5",
        }  # fmt: skip
        return write_audit(folder, **{**content, **lines})

    return write


def results(audit: Path, out: Path) -> dict[str, Any]:
    run.run(audit, out, device="cpu")
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def row(found: dict[str, Any], metric: str, class_name: str = "Square", strategy: str = "bce") -> dict[str, Any]:
    (one,) = [r for r in found["summaries"] if (r["metric"], r["strategy"], r["class"]) == (metric, strategy, class_name)]
    return dict(one)


WORKED = {
    "pixel_margin_shift_foreground": -2.7,
    "pixel_margin_shift_foreground_standardised": -2.577279,
    "pixel_margin_retained_foreground": 0.1,
    "pixel_crossing_foreground": 0.4,
    "pixel_margin_median_foreground": 0.2,
    "pixel_margin_distance_foreground": 2.7,
    "pixel_margin_gap_foreground": 0.8,
    "pixel_margin_shift_background": -0.125,
    "pixel_margin_shift_background_standardised": -0.1676,
    "pixel_margin_retained_background": 3.75 / 3.875,
    "pixel_crossing_background": 0.0,
    "pixel_margin_distance_background": 0.225,
    "pixel_margin_gap_background": 0.25,
    "pixel_margin_asymmetry": -2.575,
    "pixel_errors_foreground": 0.4,
    "dice": 0.6,
    "pixel_sensitivity": 0.6,
    "pixel_precision": 1.0,
    "dice_change": -0.4,
    "pixel_sensitivity_change": -0.4,
    "pixel_precision_change": 0.0,
}


@pytest.mark.parametrize("step", [1, 2])
def test_the_worked_example_comes_out_of_images_masks_and_a_network(write_outlined: Write, tmp_path: Path, step: int) -> None:
    found = results(write_outlined(model=f", step: {step}"), tmp_path / "out")
    for metric, right in WORKED.items():
        assert row(found, metric)["value"] == pytest.approx(right, abs=2e-4), metric
    assert (
        row(found, "pixel_precision")["n"] == 3
    )  # two images have no outline, and what of it lies in the finding is not known
    assert row(found, "pixel_margin_mean_background")["n"] == 4  # of one image it is not known what lies outside
    (histogram,) = [r for r in found["histograms"] if r["metric"] == "pixel_margin_foreground"]
    assert (sum(histogram["audited"]), sum(histogram["training"])) == (5, 5)


def test_the_threshold_moves_the_boundary_of_both_sides(write_outlined: Write, tmp_path: Path) -> None:
    audit = write_outlined(analyses=f"[{{use: pixel_logit_shift, threshold: {1 / (1 + math.exp(-0.5))}}}]")
    found = results(audit, tmp_path / "out")
    assert row(found, "pixel_margin_mean_foreground")["value"] == pytest.approx(0.3 - 0.5, abs=2e-4)
    assert row(found, "pixel_margin_mean_background")["value"] == pytest.approx(3.75 + 0.5, abs=2e-4)
    assert row(found, "pixel_sensitivity")["value"] == pytest.approx(0.4)


def test_without_training_images_the_audited_ones_say_what_they_can(write_outlined: Write, tmp_path: Path) -> None:
    found = results(write_outlined(training_images="null"), tmp_path / "out")
    assert row(found, "dice")["value"] == pytest.approx(0.6)
    for metric in ("pixel_margin_shift_foreground", "pixel_crossing_background", "dice_change"):
        assert row(found, metric)["missing"] == NO_TRAINING


def test_images_without_a_mask_are_counted_by_reason_and_not_measured(write_outlined: Write, tmp_path: Path) -> None:
    audit = write_outlined(dataset="{use: outlined, lacking: [0], broken: [1], without: [2]}")
    found = results(audit, tmp_path / "out")
    gaps = {(gap["class"], gap["reason"]): gap["n"] for gap in found["gaps"]}
    assert gaps == {("Square", "no mask"): 1, ("Square", "mask cannot be read: missing"): 1}
    assert row(found, "pixel_margin_mean_foreground")["n"] == 2  # the image without the finding has no pixel of it
    assert row(found, "pixel_margin_mean_background")["n"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("values: 7", r"gave a mask with the value 7; allowed: 0, 1 and 255"),
        ("side: 0", r"gave a mask uint8 \[1, 0, 16\]; allowed: uint8 \[1, H, W\]"),
    ],
)
def test_a_mask_that_breaks_its_promise_fails_the_analysis_in_words(
    write_outlined: Write, tmp_path: Path, options: str, words: str
) -> None:
    dataset = "{use: outlined, side: 0, without: [0, 1, 2, 3, 4]}" if "side" in options else f"{{use: outlined, {options}}}"
    found = results(write_outlined(dataset=dataset, training_images="null"), tmp_path / "out")
    (gap,) = found["gaps"]
    assert re.search(words, gap["reason"])


def test_analyses_of_whole_images_are_not_applicable_and_the_others_are(write_outlined: Write, tmp_path: Path) -> None:
    lens = "preprocessing: {size: 16, channels: 1, mean: [0], std: [1]}"
    whole = f"\n  - {{use: stencil, strategy: whole, output: image, wrong: whole, {lens}}}"
    audit = write_outlined(more=whole, analyses="[pixel_logit_shift, performance, calibration]", controls="true")
    found = results(audit, tmp_path / "out")
    reasons = {(gap["model"].split(" ")[0], gap["analysis"]): gap["reason"] for gap in found["gaps"] if gap["class"] is None}
    of_pixels = "not applicable: the network answers for every pixel, not for the image; performance needs logits"
    assert reasons["bce", "performance"] == of_pixels
    assert reasons["whole", "pixel_logit_shift"] == (
        "not applicable: the model answers for whole images; pixel_logit_shift needs an answer for every pixel"
    )
    assert ("whole", "performance") not in reasons
    assert row(found, "dice")["value"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            ", wrong: whole",
            r"gives \[2, 1\] for 2 images, not logits \[2, K, h, w\], one per pixel; leave out `output: pixels`",
        ),
        (", wrong: uneven", r"a grid of 16 x 8 for images of 16 x 16; allowed: every pixel, or every s-th in both directions"),
        (", output: image", r"not logits \[2, K\]; write output: pixels for a network that answers for every pixel"),
        (", layers: {attribution: a}", r"layers\.attribution: a network with output: pixels has no map per image"),
    ],
)
def test_answers_of_another_shape_are_refused_before_anything_is_measured(
    write_outlined: Write, tmp_path: Path, model: str, words: str
) -> None:
    audit = write_outlined(model=model, training_images="null", analyses="[pixel_logit_shift, performance]")
    with pytest.raises(AuditError, match=words):
        run.run(audit, tmp_path / "out", "cpu")


def test_more_or_fewer_outputs_than_classes_are_refused(write_outlined: Write, tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.expand(-1, 2, -1, -1)

    with pytest.raises(ModelRefused, match="gives 2 outputs, and 1 classes are declared: Square"):
        Network(Two(), [0], output="pixels").probe(torch.zeros(2, 1, 4, 4), ["Square"])


def test_a_table_of_scores_cannot_answer_for_pixels(write_outlined: Write, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("image,Square\ntest-0,0.5\n")
    table = "use: scores, table: scores.csv, values: logits, image_column: image"
    audit = write_outlined(models=f"\n  - {{{table}, strategy: bce, output: pixels, classes: [Square]}}")
    with pytest.raises(AuditError, match="output: found pixels for a table of scores; allowed: image"):
        run.run(audit, tmp_path / "out", "cpu")


def test_answers_that_are_no_numbers_are_the_models_and_not_the_reports(write_outlined: Write, tmp_path: Path) -> None:
    found = results(write_outlined(model=", wrong: nan", training_images="null"), tmp_path / "out")
    assert found["models"][0]["status"] == "failed"
    assert "nonfinite" in found["models"][0]["error"]


class Fixed(nn.Module):
    """Gives the images back as logits."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


def batch(
    logits: torch.Tensor, masks: np.ndarray[Any, Any], softmax: bool = False, ids: str = "abcdefgh", **more: Any
) -> Batch:
    """A batch whose network answers with these logits [n, K, h, w]; masks [n, K, H, W]."""
    classes = tuple("xyz"[: masks.shape[1]])
    samples = [Sample(name, name, (1,) * len(classes)) for name in ids[: len(logits)]]
    network = Network(Fixed(), range(len(classes)), output="pixels")
    return Batch(
        samples,
        classes,
        size=masks.shape[2:],
        network=network,
        images=logits,
        softmax=softmax,
        masks=lambda n: masks[n],
        **more,
    )


def measured(made: Batch, **options: Any) -> dict[str, list[float]]:
    analysis = PixelLogitShift(**options)
    cases, _ = made.cases(analysis.needs)
    return dict(analysis.measure(made.view(analysis.needs, cases)))


def test_an_images_pixels_are_drawn_by_its_own_key_whatever_the_batch_and_the_order() -> None:
    random = np.random.default_rng(0)
    logits = torch.from_numpy(random.normal(0, 3, (5, 2, 16, 16))).float()
    masks = (random.random((5, 2, 16, 16)) < 0.4).astype(np.uint8)
    whole = measured(batch(logits, masks), pixels=8)
    turned = measured(batch(logits.flip(0), masks[::-1], ids="edcba"), pixels=8)
    for name, values in whole.items():
        np.testing.assert_array_equal(np.reshape(values, (5, 2)), np.reshape(turned[name], (5, 2))[::-1])
    other = measured(batch(logits, masks, seed=1), pixels=8)
    assert not np.allclose(other["pixel_margin_foreground"], whole["pixel_margin_foreground"])
    assert other["dice"] == whole["dice"]  # outlines are of all pixels
    renamed = measured(batch(logits, masks, ids="vwxyz"), pixels=8)
    assert not np.allclose(renamed["pixel_margin_background"], whole["pixel_margin_background"])


def test_all_pixels_are_taken_where_there_are_no_more_and_none_twice() -> None:
    logits = torch.arange(64.0).reshape(1, 1, 8, 8) - 20
    masks = np.zeros((1, 1, 8, 8), np.uint8)
    masks[0, 0, 4, :5] = 1
    found = measured(batch(logits, masks), pixels=59)
    inside, outside = logits[0, 0].numpy()[masks[0, 0] == 1], logits[0, 0].numpy()[masks[0, 0] == 0]
    assert found["pixel_margin_foreground"] == [inside.mean()]
    assert found["pixel_margin_background"] == [pytest.approx(-outside.mean())]
    assert found["pixel_errors_background"] == [pytest.approx((outside > 0).mean())]


def test_the_mean_of_few_pixels_is_fair() -> None:
    """Over many images the sampled margin has no side that it errs to."""
    logits = torch.from_numpy(np.random.default_rng(1).exponential(2, (1, 1, 16, 16))).float().repeat(200, 1, 1, 1)
    masks = np.ones((200, 1, 16, 16), np.uint8)
    classes, names = ("x",), [f"image-{n}" for n in range(200)]
    network = Network(Fixed(), [0], output="pixels")
    made = Batch(
        [Sample(n, n, (1,)) for n in names], classes, size=(16, 16), network=network, images=logits, masks=lambda n: masks[n]
    )
    found = np.array(measured(made, pixels=16)["pixel_margin_foreground"])
    assert abs(found.mean() - float(logits[0].mean())) < 4 * found.std() / math.sqrt(200)
    assert found.std() > 0


def test_with_a_softmax_head_the_largest_other_output_counts_audited_or_not() -> None:
    raw = torch.randn((2, 4, 3, 3), generator=torch.Generator().manual_seed(0))
    found = beyond(raw, [2, 0], softmax=True)
    for place, output in enumerate((2, 0)):
        others = raw[:, [k for k in range(4) if k != output]].amax(1)
        torch.testing.assert_close(found[:, place], raw[:, output] - others)
    torch.testing.assert_close(beyond(raw, [2, 0], softmax=False), raw[:, [2, 0]])


masks_of = arrays.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 255]))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrays.arrays(np.bool_, (3, 4)), masks_of)
def test_outlines_are_counted_as_nested_loops_count_them(called: Any, truth: Any) -> None:
    counts = {"hit": 0, "missed": 0, "false": 0}
    for said, right in zip(called.ravel().tolist(), truth.ravel().tolist(), strict=True):
        if right == 1:
            counts["hit" if said else "missed"] += 1
        elif right == 0 and said:
            counts["false"] += 1
    found = outline(called, truth)
    if counts["hit"] + counts["missed"] == 0:
        assert all(math.isnan(value) for value in found.values())
        return
    hit, missed, false = counts.values()
    assert found["dice"] == hit / (hit + (missed + false) / 2)
    assert found["pixel_sensitivity"] == hit / (hit + missed)
    assert math.isnan(found["pixel_precision"]) if hit + false == 0 else found["pixel_precision"] == hit / (hit + false)


def test_masks_can_be_had_without_answers_for_pixels(write_outlined: Write, tmp_path: Path) -> None:
    whole = ", output: image, wrong: whole"
    found = results(write_outlined(model=whole, analyses="[covered]", training_images="null"), tmp_path / "out")
    assert row(found, "covered")["value"] == pytest.approx(16 / 256)


def test_networks_that_outline_do_not_choose_what_to_label() -> None:
    from types import SimpleNamespace as Plan

    from auditor.selection.opening import planned

    stencil = Registry(plugins=(str(OUTLINED),), base=OUTLINED.parent).get("models", "stencil")(strategy="bce")
    registry = Plan(code_digest=lambda kind, name: "")
    plan: Any = Plan(registry=registry, loader=stencil, place="mine.yaml:3", classes=("Square",), audited=None)
    with pytest.raises(
        ConfigError, match=r"mine\.yaml:3: output: found pixels, a network that outlines findings; allowed: one that"
    ):
        planned(plan)


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"pixel_logit_shift: pixels: found 0; allowed: 1 or more"):
        PixelLogitShift(pixels=0)
    with pytest.raises(ConfigError, match=r"pixel_logit_shift: threshold: 1\.0 is not between 0 and 1"):
        replace(PixelLogitShift(), threshold=1.0)
