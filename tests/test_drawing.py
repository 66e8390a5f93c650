"""Charts and heat maps: right places, safe text, the same bytes twice."""

from __future__ import annotations

import base64
import io
import itertools
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from auditor.drawing import Interval, Level, against_chance, clean_label, figure, forest, key, signed, visible
from auditor.heatmap import Panel, colour_table, plate, scale_bar, scale_of, scale_words

ORDER = ["bce", "wbce", "focal"]
ROWS = [
    Interval("Mass", "wbce", 0.04, 0.01, 0.07),
    Interval("Mass", "focal", -0.02, -0.05, 0.01),
    Interval("Hernia", "wbce", None, None, None, "2 positives"),
    Interval("Hernia", "focal", None, None, None, "2 positives"),
]
BASE = np.tile(np.arange(0, 224, dtype=np.uint8), (224, 1))
HOT = np.zeros((7, 7), np.float32)
HOT[2, 5] = 4.0


def chart(rows: list[Interval] = ROWS) -> ElementTree.Element:
    return ElementTree.fromstring(forest(rows, ORDER, title="AUROC", axis="Difference"))


def upright_zero(tree: ElementTree.Element) -> float:
    """The x of the line at zero."""
    (line,) = [e for e in tree.iter("line") if e.get("class") == "ink"]
    return float(line.attrib["x1"])


def test_a_mark_stands_on_the_side_of_its_sign_and_inside_its_interval() -> None:
    tree = chart()
    lines = [e for e in tree.iter("line") if "interval" in e.get("class", "")]
    zero = upright_zero(tree)
    assert [float(e.attrib["x1"]) > zero for e in lines] == [True, False]
    assert [float(e.attrib["x2"]) > zero for e in lines] == [True, True]
    assert all(float(e.attrib["x1"]) < float(e.attrib["x2"]) for e in lines)


def test_the_axis_is_linear() -> None:
    rows = [Interval("a", "wbce", x, x - 0.01, x + 0.01) for x in (-0.03, 0.0, 0.06)]
    middles = [
        (float(e.attrib["x1"]) + float(e.attrib["x2"])) / 2
        for e in chart(rows).iter("line")
        if "interval" in e.get("class", "")
    ]
    assert (middles[1] - middles[0]) * 2 == pytest.approx(middles[2] - middles[1], abs=0.1)


def test_what_is_missing_says_why_once_and_draws_no_mark() -> None:
    tree = chart()
    told = [e.text for e in tree.iter("text") if e.text and "not estimable" in e.text]
    assert told == ["not estimable (2 positives)"]
    assert len([e for e in tree.iter() if "mark" in e.get("class", "").split()]) == 2


def test_a_difference_without_interval_is_a_dot_without_a_line() -> None:
    tree = chart([Interval("Mass", "wbce", 0.1, None, None)])
    assert not [e for e in tree.iter("line") if "interval" in e.get("class", "")]
    assert "no interval" in next(e.find("title").text for e in tree.iter("polygon"))  # type: ignore[union-attr,operator]


def test_a_dot_is_joined_to_its_chance_level() -> None:
    tree = ElementTree.fromstring(
        against_chance(
            [Level("bce, seed 0", "bce", 560, 410), Level("wbce, seed 0", "wbce", 640, None)], ORDER, title="Concepts", axis="n"
        )
    )
    assert len([e for e in tree.iter("line") if e.get("class") == "ink"]) == 1
    (joint,) = [e for e in tree.iter("line") if "interval" in e.get("class", "")]
    dot = next(e for e in tree.iter("circle") if "mark" in e.get("class", ""))
    assert joint.get("x2") == dot.get("cx")
    assert any("chance level not stated" in (e.text or "") for e in tree.iter("title"))


def test_charts_have_title_description_and_role() -> None:
    for tree in (chart(), ElementTree.fromstring(plate(BASE, (), [Panel("r", "c", HOT)], title="Case", ident="x"))):
        assert tree.get("role") == "img"
        assert tree.find("title").text  # type: ignore[union-attr]
        assert tree.find("desc").text  # type: ignore[union-attr]


def test_a_strategy_keeps_its_colour_and_shape_in_every_chart() -> None:
    alone = ElementTree.fromstring(key("focal", ORDER))
    (shape,) = [e for e in alone.iter() if "mark" in e.get("class", "")]
    inside = [e for e in chart().iter() if e.get("class") == shape.get("class")]
    assert inside
    assert {e.get("fill") for e in inside} == {shape.get("fill")}


@given(st.text(max_size=30))
def test_no_label_changes_the_structure_of_a_chart(label: str) -> None:
    def structure(name: str) -> list[tuple[str, tuple[str, ...]]]:
        rows = [Interval(name, name, 0.1, 0.0, 0.2), Interval("b", name, None, None, None, name or "x")]
        tree = ElementTree.fromstring(forest(rows, [name], title=name, axis=name))
        return sorted((e.tag, tuple(sorted(e.attrib))) for e in tree.iter())

    assert structure(label) == structure("Mass") or label == "b"


@given(st.text(max_size=200))
def test_a_clean_label_is_short_one_line_and_holds_nothing_unseen(label: str) -> None:
    clean = clean_label(label)
    assert len(clean) <= 80
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", clean)
    clean.encode("utf-8")


def test_letters_are_composed_and_direction_marks_spelt_out() -> None:
    assert clean_label("Pleure\u0301sie") == "Pleurésie"
    assert clean_label("Pneu\u202emonia") == "Pneu\\u202emonia"
    assert clean_label("a\ud800b") == "a\\ud800b"
    assert visible("two\nlines\x00") == "two\nlines\\u0000"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8125, "0.812"),
        (-0.0004, "−0.0004"),
        (12.34, "12.3"),
        (562.0, "562"),
        (1234567, "1,234,567"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
    ],
)
def test_figures_read_as_in_a_table(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_difference_carries_its_sign_but_nothing_carries_nan() -> None:
    assert [signed(x) for x in (0.5, -0.5, 0.0)] == ["+0.500", "−0.500", "0.000"]
    with pytest.raises(ValueError, match="missing"):
        figure(math.nan)


@given(st.floats(-1e6, 1e6).filter(lambda x: abs(x) >= 1e-6))
def test_a_figure_is_within_rounding_of_its_value_and_never_loses_its_sign(value: float) -> None:
    text = signed(value).replace("−", "-").replace(",", "")
    assert float(text) == pytest.approx(value, rel=0.5, abs=0.0006)
    assert text[0] in "+-"


def lab(colours: np.ndarray) -> np.ndarray:
    """sRGB [N, 3] -> CIELAB (D65), written from IEC 61966-2-1 and CIE 15 independently of heatmap.py."""
    c = colours / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = (
        linear
        @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
        / [0.95047, 1, 1.08883]
    )
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def test_colours_rise_in_lightness_by_equal_steps() -> None:
    path = lab(colour_table().astype(float))
    steps = np.linalg.norm(path[8::8] - path[:-8:8], axis=1)
    assert (np.diff(path[::4, 0]) > 0).all()
    assert steps.std() / steps.mean() < 0.06


def test_colours_stay_ordered_for_readers_without_red_green_vision() -> None:
    deutan = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    seen = lab(np.clip(colour_table().astype(float) @ deutan.T, 0, 255))
    assert (np.diff(seen[::8, 0]) > 0).all()


def pictures(markup: str) -> list[np.ndarray]:
    data = [base64.b64decode(found) for found in re.findall(r"data:image/png;base64,([^\"]+)", markup)]
    return [np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")) for png in data]


def test_the_map_is_strongest_where_it_is_highest_and_clear_where_it_is_lowest() -> None:
    base, heat = pictures(plate(BASE, (), [Panel("CAM", "bce", HOT)], title="Case", ident="x"))
    assert np.array_equal(base[..., 0], BASE)
    colours = heat[..., :3].astype(int)
    row, column = np.unravel_index(colours.sum(-1).argmax(), (224, 224))
    assert (row // 32, column // 32) == (2, 5)
    assert heat[100, 10, 3] == 0
    assert heat[row, column, 3] == heat[..., 3].max() > 128
    assert np.abs(colours[row, column] - colour_table()[255].astype(int)).max() < 20


def test_boxes_stand_where_they_were_drawn() -> None:
    tree = ElementTree.fromstring(plate(BASE, ((0.25, 0.5, 0.75, 1.0),), [], title="Case", ident="x"))
    rects = [e.attrib for e in tree.iter("rect")]
    assert {(r["x"], r["y"], r["width"], r["height"]) for r in rects} == {("37.5", "75", "75", "75")}
    assert [r["stroke"] for r in rects] == ["#101418", "#ffffff"]


@pytest.mark.parametrize(
    ("map", "words"),
    [
        (np.zeros((7, 7), np.float32), "empty map"),
        (np.full((7, 7), -2, np.float32), "empty map"),
        (np.full((7, 7), np.nan, np.float32), "map has undefined values"),
        (HOT - 1, "0.000 to 3.000"),
        (None, "no map"),
    ],
)
def test_every_panel_tells_its_scale_or_that_there_is_none(map: np.ndarray | None, words: str) -> None:
    assert scale_words(map) == words
    sheet = plate(BASE, (), [Panel("CAM", "bce", map)], title="Case", ident="x")
    assert words in [e.text for e in ElementTree.fromstring(sheet).iter("text")]
    assert len(pictures(sheet)) == (2 if " to " in words else 1)


def test_large_and_oblong_radiographs_are_reduced_with_their_proportions() -> None:
    (small,) = pictures(plate(np.zeros((1024, 512), np.uint8), (), [], title="Case", ident="x"))
    assert small.shape[:2] == (224, 112)


def test_the_same_input_gives_the_same_bytes() -> None:
    for draw in (
        lambda: forest(ROWS, ORDER, title="AUROC", axis="Difference"),
        lambda: plate(BASE, ((0.1, 0.1, 0.5, 0.5),), [Panel("CAM", s, HOT) for s in ORDER], title="Case", ident="x"),
        scale_bar,
    ):
        assert draw() == draw()


def test_scale_of_is_the_range_of_the_evidence_for_the_class() -> None:
    assert scale_of(np.array([[-3.0, 2.0]], np.float32)) == (0.0, 2.0)


def test_series_beyond_the_palette_still_differ_in_colour_or_shape() -> None:
    order = [f"s{n}" for n in range(20)]
    looks = [re.sub(r"[\d.]+,[\d.]+", "", str(key(name, order))) + str(key(name, order)).split("class=")[-1] for name in order]
    assert all(a != b for a, b in itertools.pairwise(looks))
