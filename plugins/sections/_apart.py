"""That numbers of calibration rest on a part of the patients: recalibration was fitted on the others."""

from __future__ import annotations

from auditor import Evidence
from auditor.drawing import figure


def set_apart(evidence: Evidence, *metrics: str) -> str:
    """How many patients ECE (or those of these metrics that calibration measures) rests on; nothing where none was set apart."""
    curves = {curve.analysis: curve for curve in evidence.curves if curve.n}
    shown = metrics or ("ece",)
    found = next((curves[row.analysis] for name in shown for row in evidence.select(name) if row.analysis in curves), None)
    if found is None or not found.fitted_on:
        return ""
    return (
        f"{'ECE rests' if not metrics else 'Numbers of calibration rest'} on {figure(found.measured_on)} of "
        f"{figure(found.measured_on + found.fitted_on)} patients: recalibration was fitted on the other {figure(found.fitted_on)}."
    )
