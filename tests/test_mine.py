"""`auditor mine`: what it writes, what it leaves out, what it says, and what it refuses."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from auditor.cli import main

Write = Callable[..., Path]


def mine(path: Path, *more: str) -> int:
    return main(["mine", str(path), "--device", "cpu", "-q", *more])


def chosen(path: Path) -> list[dict[str, str]]:
    with (path.parent / "mine-run" / "selection.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def record(path: Path) -> Any:
    return json.loads((path.parent / "mine-run" / "mine.json").read_text())


def test_it_writes_a_list_a_sheet_and_a_record(write_mining: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_mining()
    assert mine(path) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "Mass                     6 images chosen",
        f"csv   {path.parent}/mine-run/selection.csv",
        f"html  {path.parent}/mine-run/selection.html",
        f"json  {path.parent}/mine-run/mine.json",
    ]
    assert "60 images listed in the pool: 60 to choose from, 0 left out, 0 quarantined" in told.err
    rows = chosen(path)
    assert list(rows[0]) == ["rank", "id", "patient", "class", "gain", "fill", "nearest", "similarity", "score Mass"]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert len({row["id"] for row in rows}) == 6
    assert {row["class"] for row in rows} == {"Mass"}
    assert all(0 <= float(row["score Mass"]) <= 1 and 0 <= float(row["similarity"]) <= 1 for row in rows)


def test_the_record_holds_what_the_choice_rests_on(write_mining: Write) -> None:
    path = write_mining()
    assert mine(path) == 0
    found, rows = record(path), chosen(path)
    assert [row["id"] for row in found["selection"]] == [row["id"] for row in rows]
    assert found["pool"]["listed"] == found["pool"]["free"] + len(found["pool"]["left_out"]) + len(found["pool"]["quarantined"])
    assert found["settings"] == {
        "function": "flqmi", "kernel": "gradient", "eta": 1.0, "budget": 6, "seed": 0, "batch": 4, "device": "cpu",
    }  # fmt: skip
    (asked,) = found["query"]["classes"]
    assert asked["name"] == "Mass"
    assert {row["nearest"] for row in rows} <= set(asked["ids"])
    assert found["model"]["digest"] == "tiny-1-1-False-False"
    assert found["memory_bytes"] > 0
    assert str(path.parent) not in json.dumps(found)


def test_a_second_run_reads_and_runs_nothing_but_the_pictures_and_chooses_the_same(
    write_mining: Write, counts: Counter[str]
) -> None:
    path = write_mining()
    assert mine(path) == 0
    first = (
        (path.parent / "mine-run" / "selection.csv").read_bytes(),
        (path.parent / "mine-run" / "selection.html").read_bytes(),
    )
    assert counts["loads"] == 1
    counts.clear()
    assert mine(path) == 0
    assert (counts["loads"], counts["forwards"]) == (0, 0)
    pictures = 6 + min(len(record(path)["query"]["classes"][0]["ids"]), 12)
    assert counts["reads"] == pictures
    assert first == (
        (path.parent / "mine-run" / "selection.csv").read_bytes(),
        (path.parent / "mine-run" / "selection.html").read_bytes(),
    )


def test_another_function_needs_no_new_forward_pass(write_mining: Write, counts: Counter[str]) -> None:
    assert mine(write_mining()) == 0
    counts.clear()
    assert mine(write_mining(function="logdetmi", classes="[Mass, Nodule]")) == 0
    assert (counts["loads"], counts["forwards"]) == (0, 0)


def test_each_image_goes_through_the_network_once_in_whole_batches(write_mining: Write, counts: Counter[str]) -> None:
    assert mine(write_mining()) == 0
    pictures = counts["reads"] - 60 - 40 - 2
    assert 0 < pictures <= 6 + 12
    tries = counts["forwards"] - 60 // 4 - 40 // 4
    assert tries == 2  # outputs, and features, of two images


class Sheet(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]


def test_the_sheet_needs_nothing_else_and_shows_every_choice(write_mining: Write) -> None:
    path = write_mining()
    assert mine(path) == 0
    page = Sheet()
    text = (path.parent / "mine-run" / "selection.html").read_text()
    page.feed(text)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert page.tags["img"] == 6 + min(len(record(path)["query"]["classes"][0]["ids"]), 12)
    assert page.tags["script"] == 0
    assert all(row["id"] in text for row in chosen(path))


def test_names_cannot_become_markup_or_formulas(write_mining: Write) -> None:
    path = write_mining(title='"<script>alert(1)</script>"')
    assert mine(path) == 0
    assert "<script>" not in (path.parent / "mine-run" / "selection.html").read_text()
    from auditor.selection.written import as_csv

    row = {"rank": 1, "id": "=cmd()", "patient": "+1", "class": None, "gain": 0.123456789, "fill": None, "nearest": "a", "similarity": 1.0,
           "scores": {"Mass": 0.5}}  # fmt: skip
    assert as_csv([row]).splitlines()[1] == "1,'=cmd(),'+1,,0.123457,,a,1,0.5"


def test_what_is_labelled_already_and_second_copies_are_left_out_and_counted(write_mining: Write) -> None:
    path = write_mining(pool="{use: tiny, images: 60}", budget="20")
    assert mine(path) == 0
    found = record(path)["pool"]
    assert (found["listed"], found["free"], len(found["left_out"])) == (60, 20, 40)
    assert found["left_out"][7] == {"id": "image-007", "reason": "the same picture as image-007, labelled"}
    assert {row["id"] for row in chosen(path)} == {f"image-{n:03d}" for n in range(40, 60)}


def test_a_pool_that_is_all_labelled_is_refused(write_mining: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_mining(pool="{use: tiny}")
    assert mine(path) == 2
    assert capsys.readouterr().err.endswith("mine.yaml:3:7: pool: no image is left to choose from\n")


def test_unreadable_images_are_counted_and_more_than_allowed_end_with_3(
    write_mining: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_mining(pool="{use: tiny, images: 60, seed: 3, unreadable: [3, 4], nan_pixels: [9]}")
    assert mine(path) == 3
    told = capsys.readouterr().err
    assert "60 images listed in the pool: 57 to choose from, 0 left out, 3 quarantined\n2 quarantined: decode:truncated" in told
    assert [entry["id"] for entry in record(path)["pool"]["quarantined"]] == ["image-003", "image-004", "image-009"]
    assert (
        mine(write_mining(pool="{use: tiny, images: 60, seed: 3, unreadable: [3, 4], nan_pixels: [9]}", max_quarantine="0.1"))
        == 0
    )


def test_images_without_finite_embeddings_are_quarantined(write_mining: Write) -> None:
    model = "{use: tiny_network, strategy: bce, weights: 1, overflow_on_bright: true, preprocessing: {size: 32, mean: [0, 0, 0], std: [1, 1, 1]}}"
    path = write_mining(model=model, max_quarantine="1", kernel="features")
    assert mine(path) == 0
    found = record(path)["pool"]
    assert {entry["reason"] for entry in found["quarantined"]} == {"nonfinite"}
    assert found["listed"] == found["free"] + len(found["quarantined"])
    assert not {row["id"] for row in chosen(path)} & {entry["id"] for entry in found["quarantined"]}


def test_a_budget_over_the_pool_takes_all_of_it_and_says_so(write_mining: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_mining(budget="70")
    assert mine(path) == 0
    assert "the budget of 70 is over the 60 images of the pool: all are chosen, ranked" in capsys.readouterr().err
    assert len({row["id"] for row in chosen(path)}) == 60


def test_an_empty_query_is_refused_with_the_line(write_mining: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_mining(query="{use: tiny, only: Nodule}", classes="[Mass, Nodule, Effusion]")
    assert mine(path) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("mine.yaml")[1] for line in lines if "found no image" in line] == [
        ":4:8: query: found no image with Mass; allowed: at least one",
        ":4:8: query: found no image with Effusion; allowed: at least one",
    ]


def test_ids_are_the_query(write_mining: Write) -> None:
    path = write_mining(query="{use: tiny, ids: [image-001, image-000, image-004, image-005, image-007, image-008]}")
    assert mine(path) == 0
    from .plugins_for_tests.tiny import Tiny

    labels = {sample.id: sample.labels[2] for sample in Tiny().index()}
    wanted = [f"image-{n:03d}" for n in (1, 0, 4, 5, 7, 8)]
    assert record(path)["query"]["classes"][0]["ids"] == [name for name in wanted if labels[name] == 1]


def test_ids_that_are_not_there_are_refused_with_the_place(write_mining: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert mine(write_mining(query="{use: tiny, ids: [image-001, nobody]}")) == 2
    assert ":4:37: query.ids[1]: found 'nobody'; allowed: an image of the query's data set" in capsys.readouterr().err


BENT = """
from auditor import hookimpl

def build():
    import torch
    from torch import nn
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3), nn.Tanh())
"""


@pytest.mark.parametrize(("function", "way"), [("flqmi", "kernel: features"), ("badge", "another function")])
def test_a_bent_head_has_no_gradient_kernel_and_the_message_names_the_way_out(
    function: str, way: str, write_mining: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bent(write_mining, function=function)
    assert mine(path) == 2
    assert capsys.readouterr().err.endswith(
        "mine.yaml:2:8: model: the logits are not the output of a last linear layer, so that features and logits do not give the"
        f" gradient; allowed: {way}\n"
    )


def test_a_bent_head_has_a_feature_kernel(write_mining: Write) -> None:
    assert mine(bent(write_mining, kernel="features")) == 0
    assert mine(bent(write_mining, function="entropy")) == 0


def bent(write: Write, **lines: str) -> Path:
    path = write(
        model="{use: factory, file: bent.py, checkpoint: null, strategy: bce, classes: [Nodule, Effusion, Mass], preprocessing: {size: 32, mean: [0, 0, 0],"
        " std: [1, 1, 1]}}",
        **lines,
    )
    (path.parent / "bent.py").write_text(BENT)
    path.write_text(path.read_text().replace("plugins: [", "plugins: [bent.py, "))
    return path


def test_a_network_whose_outputs_do_not_fit_is_refused_with_the_line(
    write_mining: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    from .conftest import LENS

    path = write_mining(model=f"{{use: tiny_network, strategy: bce, classes: [Nodule, Effusion, Bass], {LENS}}}")
    assert mine(path) == 2
    assert (
        "model.classes[2]: found 'Bass', and no output called 'Mass'; allowed: the classes of the data set, Mass; did you mean Mass?"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "function",
    ["flqmi", "logdetmi", "gcmi", "fl1mi", "com", "random", "entropy", "margin", "least_confidence", "badge", "coreset"],
)
def test_every_function_runs(function: str, write_mining: Write) -> None:
    path = write_mining(function=function)
    assert mine(path) == 0
    rows = chosen(path)
    assert len({row["id"] for row in rows}) == 6
    assert {row["gain"] == "" for row in rows} == {function == "random"}
    assert record(path)["settings"]["function"] == function


OPTIONS = [
    {"function": "gcmi"}, {"kernel": "features"}, {"eta": "0.05"}, {"query": "{use: tiny, choose: all}"},
    {"query": "{use: tiny, q_min: 40}"}, {"budget": "5"}, {"classes": "[Nodule]"},
]  # fmt: skip


@pytest.mark.parametrize("lines", OPTIONS, ids=str)
def test_every_option_can_change_the_choice(lines: dict[str, str], write_mining: Write) -> None:
    base = {"budget": "12", "pool": "{use: tiny, images: 120, seed: 3}", "query": "{use: tiny, images: 40, q_min: 1}"}
    found = []
    for given in (base, base | lines):
        path = write_mining(**given)
        assert mine(path) == 0
        found.append([(row["id"], row["rank"]) for row in chosen(path)])
    assert found[0] != found[1]


def test_the_seed_changes_what_is_random(write_mining: Write) -> None:
    found = []
    for seed in ("0", "0", "1"):
        path = write_mining(function="random", seed=seed)
        assert mine(path) == 0
        found.append([row["id"] for row in chosen(path)])
    assert found[0] == found[1] != found[2]


def test_plan_says_what_it_would_cost(write_mining: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(write_mining()), "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    assert "pool      tiny: 60 images listed" in told
    assert "choice    6 images by flqmi, tiny_network" in told
    assert "forward   100 images, each once, on cpu; features of head.2 [12]" in told
    assert "memory    " in told


def test_validate_describes_a_good_selection_and_opens_nothing(
    write_mining: Write, capsys: pytest.CaptureFixture[str], counts: Counter[str]
) -> None:
    path = write_mining()
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr().out == (
        f"{path} is good: What to label\n  model         tiny_network\n  pool          tiny\n  query         tiny, misclassified\n"
        "  classes       Mass\n  choice        6 images by flqmi\n"
    )
    assert not counts
