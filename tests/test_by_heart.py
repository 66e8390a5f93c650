"""What the report says of learning by heart: sentences, charts and tables, with and without training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from auditor import testing
from auditor.by_heart import judge
from auditor.evidence import Evidence, read
from auditor.panels_chart import Panel, panels_chart
from auditor.registry import Registry
from auditor.run import run
from auditor.statistics.between_splits import NO_TRAINING
from auditor.statistics.rows import MACRO, Summary

Write = Callable[..., Path]
SECTIONS = ("logit_shift", "embeddings")


def row(metric: str, name: str, model: str, value: float | None, half: float = 0.1, **more: Any) -> Summary:
    missing = more.pop("missing", None)
    ends = (None, None) if value is None else (value - half, value + half)
    return Summary(metric, "logit_shift", None, model, "bce", name, value, missing, 200, *ends, 100, **more)


def network(model: str, asymmetry: float, shift: float, crossing: float, **more: Any) -> list[Summary]:
    numbers = {"margin_asymmetry": asymmetry, "margin_shift_positive": shift, "crossing_positive": crossing}
    return [row(metric, "Hernia", model, value, **more) for metric, value in numbers.items()]


def test_a_class_that_slides_in_most_networks_is_named_with_what_it_costs() -> None:
    rows = [*network("a", -2, -2.1, 0.12), *network("b", -1, -1.1, 0.31), *network("c", -0.05, -0.05, 0.5)]
    (found,) = judge(rows)
    assert found.kind == "caution"
    assert found.text == (
        "Learnt by heart rather than understood: new images with Hernia (2 of 3 networks, missed 12 to 31 percentage points more often) "
        "lie closer to the decision boundary than images trained on, and those without it do not."
    )


@pytest.mark.parametrize(
    "rows",
    [
        [*network("a", -2, -2.1, 0.1), *network("b", -0.05, -0.05, 0.1)],
        network("a", -2, 0.3, 0.1),
        network(
            "a", -2, -2.1, 0.1, note="fewer than 20 patients among the audited or the training images: interval not reliable"
        ),
        [replace(one, class_name=MACRO) for one in network("a", -2, -2.1, 0.1)],
    ],
    ids=["half of the networks", "only the negatives moved", "few patients", "a mean over classes"],
)
def test_nothing_is_said_on_weaker_grounds(rows: list[Summary]) -> None:
    assert judge(rows) == []


def test_evidence_that_shrinks_is_named_and_a_small_loss_is_not() -> None:
    rows = [row("magnitude_retained", name, "a", value) for name, value in (("Hernia", 0.5), ("Mass", 0.85), ("Edema", 0.95))]
    (found,) = judge(rows)
    assert found.text == "The evidence of the strongest features shrinks on new images for Hernia (1 of 1 network, 50 % left)."


def test_missing_training_images_are_noted_once() -> None:
    rows = [row("margin_shift_positive", name, "a", None, missing=NO_TRAINING) for name in ("Hernia", "Mass")]
    (found,) = judge(rows)
    assert (found.kind, found.text.startswith("audit.yaml lists no training_images, so logit_shift cannot say")) == (
        "note",
        True,
    )


def finished(write_faint_audit: Write, tmp_path: Path, **lines: str) -> tuple[Evidence, str]:
    analyses = "[performance, logit_shift, {use: embeddings, top: 6}]"
    run(write_faint_audit(few=600, many=1200, analyses=analyses, **lines), tmp_path / "out", device="cpu")
    return read(tmp_path / "out"), (tmp_path / "out" / "report.html").read_text()


def test_the_report_shows_both_splits_and_opens_with_what_was_learnt_by_heart(write_faint_audit: Write, tmp_path: Path) -> None:
    lines = {"dataset": "{use: faint, images: 1600}", "training_images": "{split: train, images: 600}"}
    found, html = finished(write_faint_audit, tmp_path, **lines)
    cautions = [finding.text for finding in found.findings if finding.kind == "caution"]
    assert any(text.startswith("Learnt by heart rather than understood: new images with Rare (") for text in cautions)
    for words in (
        "Margins of images with the finding", "Margins of images without the finding", "Evidence of the strongest features of every class",
        "Training images: listed 600 = used 600 + quarantined 0, of 300 patients", "Shared among the strongest features", "Learnt by heart rather",
    ):  # fmt: skip
        assert words in html, words
    assert html.count("<polyline") == 2 * (2 * 2 * 2) + 2 * 2 * 2
    for name in SECTIONS:
        testing.check_section(Registry().get("sections", name)(), found)
    assert Evidence.from_json(found.to_json()).to_json() == found.to_json()


def test_without_training_images_the_report_says_what_is_lacking(write_faint_audit: Write, tmp_path: Path) -> None:
    found, html = finished(write_faint_audit, tmp_path, training_images="null")
    assert "nothing can be said of the step from training images to new ones" in html
    assert "features were ranked on the audited images themselves" in html
    notes = [finding.text for finding in found.findings if NO_TRAINING in finding.text]
    assert len(notes) == 1
    assert "Margin mean positive" in html
    assert 'class="training"' not in html
    for name in SECTIONS:
        testing.check_section(Registry().get("sections", name)(), found)


def drawn(**panels: Panel) -> ElementTree.Element:
    columns = [("bce", 0), ("focal", 1)]
    placed = {tuple(name.split("_")): panel for name, panel in panels.items()}
    rows = list(dict.fromkeys(name.split("_")[0] for name in panels))
    return ElementTree.fromstring(panels_chart(placed, rows, columns, title="Margins", axis="Log-odds", boundary=0.0))  # type: ignore[arg-type]


def test_a_panel_has_a_shape_per_split_and_one_that_is_not_there_says_so() -> None:
    tree = drawn(Mass_bce=Panel(-2, 2, [0.1, 0.9], [0.5, 0.5], "Mass, bce"), Edema_bce=Panel(-1, 3, [1, 0], [], "Edema, bce"))
    shapes = [shape.get("class", "") for shape in tree.iter() if shape.tag.endswith("polyline")]
    assert shapes == ["series-0 mark", "outline", "series-0 mark"]
    assert [text.text for text in tree.iter() if text.text == "not measured"] == ["not measured"] * 2


def test_the_boundary_stands_at_the_same_place_in_every_panel_of_a_column() -> None:
    tree = drawn(Mass_bce=Panel(-2, 2, [0.1, 0.9], [0.5, 0.5], "a"), Edema_bce=Panel(-1, 6, [1, 0], [0, 1], "b"))
    places = {line.get("x1") for line in tree.iter() if line.get("class") == "ink"}
    assert len(places) == 1


def test_names_in_a_panel_are_text_and_nothing_else() -> None:
    columns = [("<script>", 0)]
    chart = panels_chart({("<b>", "<script>"): Panel(0, 1, [1], [1], "<i>")}, ["<b>"], columns, title="<u>", axis="&")
    assert not any(tag in chart for tag in ("<script>", "<b>", "<i>", "<u>"))
