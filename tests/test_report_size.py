"""The size budget of report.html: a full-size audit with 200 cases stays a page that a browser opens at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from example import EXAMPLE

from auditor import report
from auditor.evidence import Evidence, Picture
from auditor.registry import Registry

CLASSES = (
    "Effusion", "Atelectasis", "Cardiomegaly", "Mass", "Pneumonia", "Hernia", "Nodule", "Infiltration", "Pneumothorax", "Edema",
    "Emphysema", "Fibrosis", "Consolidation", "Pleural_Thickening", "No Finding",
)  # fmt: skip
CASES = 200
BYTES, WORDS, ELEMENTS = 24_000_000, 3_000_000, 40_000
"""What 200 noisy cases with two maps each, 8 networks and 15 classes may take: in all, without the pictures, and in elements."""


def full_size() -> Evidence:
    """The example with 15 classes and 200 pictures, each with the maps of two networks."""
    rows = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    known = rows["dataset"]["classes"]
    copies = dict(zip(CLASSES[len(known) :], known * 2, strict=False))

    def widened(found: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [*found, *({**row, "class": new} for new, old in copies.items() for row in found if row.get("class") == old)]

    for name in ("summaries", "comparisons", "by_outcome", "operating", "detectors"):
        rows[name] = widened(rows[name])
    counts = rows["dataset"]["counts"]
    rows["dataset"] |= {"classes": list(CLASSES), "counts": counts | {new: counts[old] for new, old in copies.items()}}
    random = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(0, 1, 224), np.linspace(0, 1, 224))
    pictures = []
    for number in range(CASES):
        shade = 128 + 90 * np.sin(9 * x + number) * np.cos(7 * y) + random.normal(0, 6, x.shape)
        maps = {"cam": {model: random.random((7, 7), np.float32) for model in ("bce-0", "wbce-0")}}
        box = ((0.2, 0.2, 0.5, 0.6),)
        pictures.append(Picture(f"case {number + 1}", CLASSES[number % 15], box, shade.clip(0, 255).astype(np.uint8), maps))
    return replace(Evidence.from_json(json.dumps(rows)), pictures=tuple(pictures))


class Counted(HTMLParser):
    """How many elements a page has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements += 1


@pytest.mark.slow
def test_two_hundred_cases_and_fifteen_classes_fit_the_budget() -> None:
    page, failures = report.render_html(full_size(), Registry().all("sections").values())
    assert failures == []
    assert page.count('<figure class="case"') == CASES
    assert all(f'data-class="{name}"' in page for name in CLASSES)
    assert len(page.encode()) < BYTES
    assert len(re.sub(r"data:image/png;base64,[^\"]*", "", page).encode()) < WORDS
    assert 20_000 < Counted(page).elements < ELEMENTS
