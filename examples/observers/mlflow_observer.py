"""Logs every finished audit to MLflow: overall numbers, contrasts, gates, the report and results.json.

`pip install mlflow-skinny`, then `plugins: [mlflow_observer.py]` in audit.yaml. Where it logs to is MLflow's own setting
(MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME). The report holds radiographs unless audit.yaml says `report: {images: false}`.
"""

import re
from collections import Counter

from auditor import MissingLibrary, hookimpl

WHOLE = {"(macro)": "macro", "(image)": "image", "(model)": "model"}
AT_ONCE = 1000  # as many metrics as MLflow takes in one call


@hookimpl
def audit_done(evidence, report):
    try:
        import mlflow
    except ImportError:
        raise MissingLibrary("it needs MLflow: pip install mlflow-skinny; the report is written all the same") from None
    numbers = list(metrics(evidence).items())
    with mlflow.start_run(run_name=str(evidence.audit["title"])):
        mlflow.set_tags(tags(evidence))
        for start in range(0, len(numbers), AT_ONCE):
            mlflow.log_metrics(dict(numbers[start : start + AT_ONCE]))
        for path in report.values():
            mlflow.log_artifact(str(path))
        mlflow.log_text(evidence.to_json(), "results.json")


def metrics(evidence):
    """{name: number}: what could not be estimated is left out, never logged as a number."""
    found = {}
    for row in evidence.summaries:
        if row.class_name in WHOLE and row.value is not None:
            _add(found, [row.metric, row.attribution, WHOLE[row.class_name], row.model], row.value)
    for row in evidence.comparisons:
        if row.class_name in WHOLE and row.difference is not None:
            sides = f"{row.strategy} minus {row.reference}"
            about = [row.metric, row.attribution, WHOLE[row.class_name], row.family, sides]
            for end in ("difference", "low", "high"):
                if getattr(row, end) is not None:
                    _add(found, [*about, end], getattr(row, end))
    return found


def tags(evidence):
    """What MLflow can search for: the verdict of each gate, how many gates ended how, and what the audit was."""
    found = {f"gate {row.gate}: {_clean(row.sentence)[:150]}": row.outcome for row in evidence.gates}
    found |= {f"gates {outcome}": str(count) for outcome, count in Counter(row.outcome for row in evidence.gates).items()}
    missing = sum(row.value is None for row in evidence.summaries) + sum(row.difference is None for row in evidence.comparisons)
    return found | {
        "reference": str(evidence.audit["reference"]),
        "images": str(evidence.accounting["used"]),
        "quarantined": str(len(evidence.accounting["quarantined"])),
        "not estimable": str(missing),
        "alarms": str(sum(finding.kind == "alarm" for finding in evidence.findings)),
        "auditor": str(evidence.audit["tool"]),
    }


def _add(found, words, value):
    """Under a name that MLflow allows; two that become alike are told apart by a number."""
    name = "/".join(_clean(word) for word in words if word)[:240]
    while name in found:
        name += " again"
    found[name] = value


def _clean(text):
    return re.sub(r"[^A-Za-z0-9_.\- ]+", "_", str(text)).strip()
