"""An audit of tables of scores whose patients have a sex and an age."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np


def write(folder: Path, seed: int = 0, gap: float = 1.5, images: int = 600, subgroups: str = "", few: int = 0) -> Path:
    """Two tables of scores: those of `plain` are worse for men by `gap` standard deviations, those of `fair` are not.

    The first `few` patients have a sex of their own, `X-jane`.
    """
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    labels, male = random.integers(0, 2, (images, 2)), random.integers(0, 2, images)
    ages = random.integers(20, 90, images)
    with (folder / "images.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "patient", "sex", "age", "Mass", "Nodule"])
        rows.writerows(
            [f"{n}.png", f"p{n}", "X-jane" if n < few else "FM"[male[n]], f"{ages[n]}", *labels[n]] for n in range(images)
        )
    for name, worse in (("plain", gap), ("fair", 0.0)):
        scores = random.normal(0, 1, (images, 2)) + labels * (2 - worse * male[:, None])
        with (folder / f"{name}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["image", "Mass", "Nodule"])
            rows.writerows([f"{n}.png", *(f"{score:.6f}" for score in scores[n])] for n in range(images))
    models = ", ".join(f"{{use: scores, table: {name}.csv, values: logits, strategy: {name}}}" for name in ("plain", "fair"))
    path = folder / "audit.yaml"
    path.write_text(
        f"title: Groups\ndataset: {{use: image_folder, table: images.csv, groups: [sex, age]}}\nmodels: [{models}]\n"
        f"reference: plain\nattributions: []\nanalyses: [performance]\nreport: {{formats: [html], images: false}}\n"
        f"controls: false\nsubgroups: {subgroups or '[{by: sex, primary: [auroc]}, {by: age, bands: [40, 60]}]'}\n"
    )
    return path
