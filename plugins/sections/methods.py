"""A card per metric: what it is, how it is averaged, and how it misleads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import how_many

from ._paper import asked_about
from ._reading import bounds, chance_words, home, plain, title

AVERAGING = {
    "mean": "Mean over the cases of a class; then the plain mean over the classes that have a number. Contrasts are paired by case; "
    "interval by cluster-robust t over patients, p-value by sign flips of whole patients.",
    "auroc": "One ranking per class over all images with a known label; then the plain mean over the classes that have a number. "
    "Interval of a class by DeLong's method clustered by patient, of the mean over classes from resampled patients, the same for both sides.",
    "average_precision": "One ranking per class over all images with a known label; then the plain mean over the classes that have a "
    "number. Intervals from resampled patients, the same for both sides.",
    "kappa": "One number per class from every map held against every box of the class; then the plain mean over the classes that have a "
    "number. Intervals leave out one patient at a time, maps and boxes together.",
    "excess": "As for kappa, without the division by what is left to gain; of concept counts, against a few boxes of other patients per case.",
    "lift": "One number per class, the logarithm of a ratio of two means; then the plain mean over the classes that have a number. Intervals "
    "leave out one patient at a time, own boxes and other patients' boxes together.",
    "others": "Mean over pairs of an image and another patient's boxes of the class; then the plain mean over the classes that have a number.",
    "sensitivity": "One share per class over its positives, at the threshold of the network and class; then the plain mean over the classes that have a "
    "number. Intervals treat patients as independent and take the threshold as given.",
    "specificity": "The same over the negatives. It was set, so it is not contrasted.",
    "ranking_change": "As for AUROC, network by network on the same images; then the plain mean over the changes and over the classes that have a "
    "number. Intervals by DeLong's method clustered by patient, of the difference itself.",
    "ranking": "As for AUROC; intervals by DeLong's method clustered by patient.",
    "flipped": "Mean over the images with a known label, then over the changes and over the classes that have a number. Intervals treat patients as "
    "independent and take the threshold as given.",
    **dict.fromkeys(
        ("moved", "moved_signed"),
        "Mean over the images with a known label, then over the changes and over the classes that have a number. Intervals treat patients as "
        "independent; the standard deviation is estimated with it.",
    ),
    "elsewhere": "Kept per case and box, and not averaged.",
    "none": "Kept per case and not averaged, or one number for the network as a whole.",
}
CALIBRATED = (
    "One number per class, on the patients that no recalibration was fitted on; then the plain mean over the classes that have a number. "
    "Intervals treat patients as independent and take the fitted recalibration as given."
)
WHERE = (
    "Only images with the finding and a box count: nothing is said about maps on other images. It depends on the layer and its "
    "resolution, and compares only between networks read at layers of one size."
)
UNITS = "Depends on the layer, its width and the share of pixels called active; compare only against chance and between equal layers."


class Methods(Section):
    """Metric cards."""

    name = "methods"
    title = "Methods"
    template = "methods.html"
    order = 160

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A card per declared metric, and how things were attributed."""
        homes = {row.metric: home(evidence, row.analysis) for row in evidence.summaries}
        full = asked_about(evidence)
        kept = {
            name
            for name, metric in evidence.metrics.items()
            if metric.get("statistic") == "elsewhere" or not metric.get("card", True)
        }
        counts: dict[str, int] = {}
        for row in evidence.summaries:
            counts[row.metric] = counts.get(row.metric, 0) + (row.value is not None)
        return {
            "cards": [
                {**_card(name, metric, homes.get(name, ""), counts.get(name, 0)), "brief": name not in full}
                for name, metric in evidence.metrics.items()
                if name not in kept
            ],
            "analyses": [_use(item) for item in evidence.audit.get("analyses", ())],
            "attributions": [_use(item) for item in evidence.audit.get("attributions", ())],
        }


def _card(name: str, metric: Mapping[str, Any], where: str, n: int) -> dict[str, Any]:
    better = {"higher": "higher is better", "lower": "lower is better"}.get(
        str(metric.get("better")), "neither direction is better in itself"
    )
    pitfall = str(metric.get("pitfall") or "")
    general = WHERE if where == "where_it_looks" else UNITS if where == "concepts" else ""
    statistic = str(metric.get("statistic") or "mean")
    return {
        "title": title(name),
        "says": metric.get("says") or "The analysis does not say what this number means.",
        "rows": [
            ("Called", name),
            ("Averaging", AVERAGING.get(statistic, CALIBRATED)),
            ("Direction", better),
            ("Range", bounds(metric)),
            ("Chance", chance_words(metric).removeprefix("chance level ")),
            ("Undefined", str(metric.get("undefined") or "never")),
            ("Source", str(metric.get("reference") or "not stated")),
            ("Pitfalls", " ".join(part for part in (pitfall, general) if part) or "none declared"),
            ("Reported", f"{how_many(n, 'number')} in this audit" if n else "no number of its own in this audit"),
        ],
    }


def _use(item: Any) -> tuple[str, str]:
    """(name, options in words) of a component as results.json has it."""
    if not isinstance(item, Mapping):
        return str(item), "default options"
    options = item.get("options") or {}
    return str(item.get("use")), ", ".join(f"{name} = {plain(value)}" for name, value in options.items()) or "no options"


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Methods]
