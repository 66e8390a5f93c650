"""How margins of pixels are told: which numbers, in which words, and by which rule the pixels were drawn."""

from __future__ import annotations

from auditor import Evidence
from auditor.drawing import figure

from ._margins import Look

ANALYSIS = "pixel_logit_shift"
LOOK = Look(
    sides={"pixel_margin_foreground": "inside the finding", "pixel_margin_background": "outside the finding"},
    overview=(
        "pixel_margin_asymmetry", "pixel_margin_shift_foreground", "pixel_margin_shift_background", "pixel_crossing_foreground",
        "dice", "pixel_sensitivity", "pixel_precision",
    ),
    alone=(
        "dice", "pixel_sensitivity", "pixel_precision", "pixel_margin_mean_foreground", "pixel_margin_median_foreground",
        "pixel_margin_mean_background",
    ),
    blocks=(
        "dice", "pixel_sensitivity", "pixel_precision", "pixel_sensitivity_change", "pixel_precision_change",
        "pixel_margin_asymmetry", "pixel_margin_asymmetry_standardised", "pixel_margin_asymmetry_on_rarity",
        "pixel_margin_shift_foreground", "pixel_margin_shift_foreground_standardised", "pixel_margin_shift_background_standardised",
        "pixel_margin_retained_foreground", "pixel_crossing_foreground", "pixel_crossing_background",
    ),
    heading="Margins of pixels ",
    caption="The first network of each strategy; one count per image, the mean of its sampled pixels. Right of the upright line these pixels "
    "are by and large on their right side of the decision boundary. Where the filled shape lies to the left of the outline, the pixels of "
    "unseen images are less safe than those of images trained on. Heights are shares.",
)  # fmt: skip


def says(evidence: Evidence) -> list[str]:
    """What a reader must know before the numbers: what a case is, how pixels were drawn, how outlines are read."""
    (options,) = [entry["options"] for entry in evidence.audit["analyses"] if entry["use"] == ANALYSIS]
    pixels = figure(int(options["pixels"]))
    case = (
        "These networks answer for every pixel: they outline findings. Each image counts once, with the mean of its pixels, so that a large "
        "finding weighs no more than a small one and intervals are over patients."
    )
    drawn = (
        f"Of each image and class {pixels} pixels inside the finding and {pixels} outside it were drawn, all where there are fewer; which ones "
        f"depends on the audit's seed ({evidence.audit.get('seed')}), the image and the class alone. Dice, sensitivity and precision are of all "
        "pixels. Where sensitivity falls on new images and precision stays, findings are outlined too small."
    )
    return [case, drawn]
