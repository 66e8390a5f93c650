"""From audit.yaml to page one: objects that no image has, forward passes that are counted, what is flagged and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from auditor_plugins.analyses.shortcuts import Shortcuts
from auditor_plugins.datasets.image_folder import ImageFolder
from example import EXAMPLE
from PIL import Image

from auditor import Box, Dataset, DatasetError, config, estimate, run
from auditor.evidence import Evidence
from auditor.metric import Metric
from auditor.planning import make
from auditor.registry import Registry
from auditor.share.said import names
from auditor.shortcut_findings import judge, shortcuts
from auditor.statistics.rows import Summary

Write = Callable[..., Path]
METRICS = {metric.name: metric for metric in Shortcuts(objects=("marker",)).metrics}


def row(metric: str, model: str, value: float, low: float, high: float, **about: Any) -> Summary:
    known = {"class_name": "Nodule", "n_patients": 101, "n": 101, **about}
    return Summary(
        metric, "shortcuts", None, model, model, known.pop("class_name"), value, None, known.pop("n"), low, high, **known
    )


def effect(model: str, value: float, half: float, net: float = 1.0, control: float = 0.0, **about: Any) -> list[Summary]:
    """An effect with its interval, and the log-odds that it and its control come to."""
    return [
        row("erase_marker", model, value, value - half, value + half, **about),
        row("erase_marker_log_odds", model, net, net, net, **about),
        row("erase_marker_control", model, control, control, control, **about),
    ]


def test_an_effect_is_flagged_only_where_it_holds_up() -> None:
    """With 6 effects of 101 patients t goes from 1.984 to 2.692, so an interval becomes 1.357 times as wide."""
    rows = [
        *effect("holds", 1.0, 0.5),
        *effect("small", 0.19, 0.01),
        *effect("trifle", 1.0, 0.1, net=0.09),
        *effect("only alone", 1.0, 0.9),
        *effect("control raises", 1.0, 0.5, net=1.0, control=-0.6),
        *effect("control falls", 1.0, 0.5, net=1.0, control=0.6),
    ]
    found, looked_at = shortcuts(rows, METRICS)
    assert looked_at == 6
    assert [one.model for one in found] == ["holds", "control falls"]
    assert found[0].low == pytest.approx(1 - 0.5 * 2.6918 / 1.98397, abs=1e-4)
    assert found[0].high == pytest.approx(1 + 0.5 * 2.6918 / 1.98397, abs=1e-4)


def test_few_patients_means_over_classes_and_below_0_are_never_flagged() -> None:
    rows = [
        *effect("few", 1.0, 0.1, note="fewer than 20 patients: interval not reliable"),
        *effect("mean", 1.0, 0.1, class_name="(macro)"),
        *effect("against", -1.0, 0.1, net=-1.0),
    ]
    found, looked_at = shortcuts(rows, METRICS)
    assert (found, looked_at) == ([], 1)
    assert judge(rows, METRICS) == []


def test_the_sentence_of_page_one() -> None:
    pasted = [replace(r, metric=r.metric.replace("erase_marker", "paste_letter")) for r in effect("a", 0.8, 0.1)]
    other = effect("a", 0.5, 0.1, class_name="Mass")
    (found,) = judge([*other, *effect("a", 1.0, 0.1), *effect("b", 1.25, 0.1), *pasted], METRICS)
    assert found.kind == "caution"
    assert found.text == (
        "Scores hang on something that is no finding: without the marker Nodule falls by 1 to 1.25 (2 of 2 networks), with a letter drawn in "
        "Nodule rises by 0.8 (1 of 2 networks); in standard deviations of log-odds beyond a control edit, adjusted for all 4 effects. 1 more "
        "under Shortcuts."
    )


# audit.yaml


def refused(path: Path) -> str:
    from auditor import ConfigError

    with pytest.raises(ConfigError) as caught:
        make(config.read(path), Registry(config.read(path).plugins, path.parent))
    return str(caught.value).replace(str(path.parent), "")


def test_an_object_that_no_image_has_is_refused_with_the_nearest_name(write_audit: Write) -> None:
    path = write_audit(dataset="{use: planted, images: 20}", analyses="[{use: shortcuts, objects: [markr]}]", models=MODEL)
    assert (
        "analyses[0].objects[0]: no image has an object 'markr'; the data set has boxes of marker; did you mean marker?"
        in refused(path)
    )
    path = write_audit(analyses="[{use: shortcuts, objects: [marker]}]")
    assert "no image has an object 'marker'; the data set has boxes of findings only" in refused(path)


MODEL = "\n  - {use: tiny_network, strategy: bce, classes: [Infiltration, Effusion, Nodule, Mass, Cardiomegaly, Pneumothorax]}"


def test_the_plan_counts_what_the_run_asks_for(write_audit: Write, tmp_path: Path) -> None:
    path = write_audit(analyses="[{use: shortcuts, images: 10}]", attributions="[]")
    audit = make(config.read(path), Registry(config.read(path).plugins, path.parent))
    cost = estimate.estimate(audit)
    assert cost.trials == 2 * 2 * 10 * 2  # networks, changed images, images, objects
    assert cost.forwards == 80
    assert "80 images more, changed ones, for shortcuts" in estimate.describe(audit)
    found = run.run(path, tmp_path / "out", device="cpu")
    assert found.exit_code == 0
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    gaps = {(gap["reason"], gap["class"]): gap["n"] for gap in result["gaps"] if gap["model"].startswith("bce")}
    assert gaps["not among the images chosen for it", "Mass"] == 30
    levels = {(r["metric"], r["class"], r["strategy"]): r for r in result["summaries"]}
    assert levels["erase_border", "Mass", "bce"]["n"] == 10
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Does a score hang on something that is no finding" in page
    assert "The border, case" in page
    assert "effects looked at" in page


def test_without_pictures_the_section_says_so(write_audit: Write, tmp_path: Path) -> None:
    path = write_audit(analyses="[{use: shortcuts, images: 4}]", attributions="[]", report="{formats: [html], images: false}")
    run.run(path, tmp_path / "out", device="cpu")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Pictures were switched off for this report (report.images: false)." in page
    assert "The border, case" not in page


def test_no_section_where_nothing_was_asked(write_audit: Write, tmp_path: Path) -> None:
    run.run(write_audit(analyses="[performance]", attributions="[]"), tmp_path / "out", device="cpu")
    assert "Does a score hang on" not in (tmp_path / "out" / "report.html").read_text()


def test_objects_are_named_in_a_shared_copy_as_their_metrics_are() -> None:
    """Without them nobody could make the numbers again: the metrics follow from the names."""
    example = Evidence.from_json(EXAMPLE.read_text())
    analyses = [{"use": "shortcuts", "options": {"objects": ["Support Devices"], "border": 0.05}}]
    assert "Support Devices" in names(replace(example, audit={**example.audit, "analyses": analyses}))
    assert "Support Devices" not in names(example)


# data sets


def folder(tmp_path: Path, **options: Any) -> ImageFolder:
    for name in ("a.png", "b.png"):
        Image.new("L", (20, 10), 60).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("image,patient,Mass\na.png,1,1\nb.png,2,0\n")
    (tmp_path / "boxes.csv").write_text("image,label,x,y,width,height\na.png,Mass,2,2,4,4\na.png,tag,16,0,4,2\n")
    return ImageFolder(table=tmp_path / "labels.csv", folder=tmp_path, boxes=tmp_path / "boxes.csv", **options)


def test_a_folder_tells_boxes_of_objects_from_those_of_findings(tmp_path: Path) -> None:
    first, second = folder(tmp_path, objects=("tag",)).index()
    assert first.boxes == (Box("Mass", 0.1, 0.2, 0.3, 0.6),)
    assert first.objects == (Box("tag", 0.8, 0.0, 1.0, 0.2),)
    assert second.objects == ()
    assert not [note for note in folder(tmp_path, objects=("tag",)).notes() if "left out" in note]


def test_a_label_that_is_neither_class_nor_object_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"boxes\.csv:3: unknown label 'tag'"):
        folder(tmp_path).index()
    with pytest.raises(DatasetError, match=r"objects: 'Mass' is a class; allowed: labels in boxes\.csv of what is no finding"):
        folder(tmp_path, objects=("Mass",)).index()


def test_an_object_that_is_called_like_a_class_is_refused(write_audit: Write, tmp_path: Path) -> None:
    plugin = tmp_path / "mixed.py"
    plugin.write_text(
        "from dataclasses import replace\nfrom auditor import Box, hookimpl, Dataset, Sample\n"
        "class Mixed(Dataset):\n    '''A class's name on an object.'''\n    name = 'mixed'\n"
        "    def classes(self): return ('Nodule', 'Effusion', 'Mass')\n"
        "    def index(self): return [Sample('a', 'p', (1, 0, 0), objects=(Box('Mass', 0, 0, 1, 1),))]\n"
        "@hookimpl\ndef register_datasets(): return [Mixed]\n"
    )
    tiny = Path(__file__).parent / "plugins_for_tests" / "tiny.py"
    path = write_audit(dataset="mixed", plugins=f"['{plugin}', '{tiny}']", analyses="[performance]", attributions="[]")
    assert "an object is labelled 'Mass', which is a class; its boxes belong to the findings" in refused(path)


def test_metrics_of_an_object_are_told_apart_by_its_name() -> None:
    assert "erase_support_devices" in {metric.name for metric in Shortcuts(objects=("Support Devices",)).metrics}
    assert all(isinstance(metric, Metric) for metric in METRICS.values())
    assert issubclass(ImageFolder, Dataset)
