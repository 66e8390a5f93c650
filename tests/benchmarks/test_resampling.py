"""What 10,000 resamples of the patients cost, as a ratio to resampling with scikit-learn's functions in the same process.

Three trained networks, 14 classes, 22,433 radiographs of 6,187 patients. Ours does all replicates of AUROC and average
precision; scikit-learn's side does a few and is scaled, since every replicate of it is the same work.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from auditor.statistics.ranking import Ranking
from auditor.statistics.resampling import FAMILY, patient_counts, resample

NETWORKS = ("jrzech_densenet121_bce", "derrick_mobilenetv2_bce", "derrick_resnet50_bce")
REPLICATES, SAMPLED = 10_000, 2
STATISTICS = (("auroc", roc_auc_score), ("average_precision", average_precision_score))


def table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels [n, 14], patients [n] and log-odds [3, n, 14]."""
    data = (
        Path(os.environ.get("AUDITOR_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "predictions-nih"
    )
    if not data.is_dir():
        pytest.skip(f"real predictions not found at {data}; set AUDITOR_TEST_DATA")
    labels = table(data / "labels.csv.gz")
    names = list(labels[0])[5:-1]
    patients = np.unique([int(row["Patient ID"]) for row in labels], return_inverse=True)[1].astype(np.int64)
    scores = []
    for network in NETWORKS:
        rows = {row["Image Index"]: row for row in table(data / network / "preds.csv.gz")}
        found = np.array([[float(rows[row["Image Index"]][f"prob_{name}"]) for name in names] for row in labels])
        scores.append(np.log(found) - np.log1p(-found))
    return np.array([[row[name] == "1" for name in names] for row in labels]), patients, np.array(scores)


def ours(labels: np.ndarray, patients: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """CPU seconds for all replicates, and their values [3, 14, 2, REPLICATES]."""
    started = time.process_time()
    people = int(patients.max()) + 1
    rankings = [[Ranking(of[:, k], labels[:, k], patients, people) for k in range(labels.shape[1])] for of in scores]

    def values(counts: Any) -> np.ndarray:
        return np.array([[[getattr(r, name)(counts) for name, _ in STATISTICS] for r in row] for row in rankings])

    drawn = resample(values, people, 0, REPLICATES)
    return time.process_time() - started, drawn


def theirs(labels: np.ndarray, patients: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """CPU seconds for a few replicates scaled to all of them, and the values of those few."""
    counts = patient_counts(int(patients.max()) + 1, 0, FAMILY, 0)[:, :SAMPLED]
    found = np.empty((len(scores), labels.shape[1], len(STATISTICS), SAMPLED))
    started = time.process_time()
    for replicate in range(SAMPLED):
        rows = np.repeat(np.arange(len(patients)), counts[patients, replicate])
        for network, of in enumerate(scores):
            for k in range(labels.shape[1]):
                for place, (_, function) in enumerate(STATISTICS):
                    found[network, k, place, replicate] = function(labels[rows, k], of[rows, k])
    return (time.process_time() - started) * REPLICATES / SAMPLED, found


def test_patient_resamples_cost_a_fiftieth_of_those_with_scikit_learn(
    benchmark: Any, scored: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    def compare() -> tuple[float, float]:
        reference, few = theirs(*scored)
        mine, drawn = ours(*scored)
        np.testing.assert_allclose(drawn[..., :SAMPLED], few, atol=1e-12)
        return reference, mine

    reference, mine = benchmark.pedantic(compare, rounds=1)
    sys.stdout.write(
        f"\n  10,000 patient resamples, AUROC and AP, 14 classes, 3 networks: scikit-learn / ours = {reference / mine:.0f}"
    )
    assert reference / mine >= 50
