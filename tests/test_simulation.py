"""`auditor mine --simulate`: rounds, what is revealed and what never is, resumption, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.cli import main
from auditor.errors import ConfigError
from auditor.selection import simulate as simulation
from auditor.selection.simulation_config import read

Write = Callable[..., Path]


def play(path: Path) -> int:
    return main(["mine", "--simulate", str(path), "--device", "cpu", "-q"])


def rounds(path: Path) -> list[dict[str, str]]:
    with (path.parent / "simulate-run" / "simulation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def record(path: Path) -> Any:
    return json.loads((path.parent / "simulate-run" / "simulation.json").read_text())


def test_every_function_starts_alike_and_every_round_adds_the_budget(
    write_simulation: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_simulation()
    assert play(path) == 0
    told = capsys.readouterr()
    assert "each seed starts with 20 labelled images, 75 in the pool and 16 of the query" in told.err
    assert [line.split()[0] for line in told.out.splitlines()] == ["flqmi", "random", "csv", "html", "json"]
    rows = rounds(path)
    assert [(r["seed"], r["function"], r["round"], r["labelled"]) for r in rows] == [
        (str(seed), function, str(number), str(20 + 5 * number))
        for seed in (0, 1)
        for function in ("flqmi", "random")
        for number in (0, 1, 2)
    ]
    first = {(r["seed"], r["function"]): r["auroc Mass"] for r in rows if r["round"] == "0"}
    assert first["0", "flqmi"] == first["0", "random"] != first["1", "flqmi"]
    assert all(0 <= float(r["auroc Mass"]) <= 1 for r in rows)
    assert not (path.parent / "simulate-run" / "pixels").exists()


def test_no_image_is_chosen_twice_and_rare_ones_are_counted_by_their_labels(write_simulation: Write) -> None:
    path = write_simulation()
    assert play(path) == 0
    plan = read(path)
    labels = {sample.id: sample.labels for sample in plan.training.dataset.index()}
    sides, starts, _ = simulation.gather(plan, path.parent / "again")
    for file in (path.parent / "simulate-run" / "arrays" / "rounds").rglob("*.json"):
        played, seed = json.loads(file.read_text()), int(file.stem.split("-")[0].removeprefix("seed"))
        chosen = [row for past in played for row in past["chosen"]]
        assert len(set(chosen)) == len(chosen) == 10
        assert set(chosen) <= set(starts[seed].pool.tolist())
        assert played[-1]["rare"] == sum(labels[sides.training.samples[row].id][2] == 1 for row in chosen)


def test_the_query_is_never_trained_on(write_simulation: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[set[str]] = []
    build = simulation.Training

    def spied(network: Any, strategies: Any, seed: int, setting: Any) -> Any:
        met.append({sample.id for sample in setting.training.samples})
        return build(network, strategies, seed, setting)

    monkeypatch.setattr(simulation, "Training", spied)
    assert play(write_simulation()) == 0
    assert len(met) == 2 * (1 + 2 * 2)
    assert {name.split("-")[0] for names in met for name in names} == {"train"}


def test_a_network_is_trained_anew_from_the_same_first_weights(
    write_simulation: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[int, bytes]] = []
    build = simulation.Training

    def spied(network: Any, strategies: Any, seed: int, setting: Any) -> Any:
        begun.append((seed, next(network.parameters()).detach().numpy().tobytes()))
        return build(network, strategies, seed, setting)

    monkeypatch.setattr(simulation, "Training", spied)
    assert play(write_simulation()) == 0
    assert len(set(begun)) == 2


def test_a_second_run_trains_nothing_and_an_interrupted_one_goes_on_to_the_same_end(
    write_simulation: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_simulation()
    assert play(path) == 0
    whole = (path.parent / "simulate-run" / "simulation.csv").read_bytes()
    trained: list[int] = []
    build = simulation._Simulation.trained
    monkeypatch.setattr(simulation._Simulation, "trained", lambda *given: trained.append(1) or build(*given))
    assert play(path) == 0
    assert not trained
    (file,) = (path.parent / "simulate-run" / "arrays" / "rounds").rglob("seed1-flqmi.json")
    file.write_text(json.dumps(json.loads(file.read_text())[:2]))
    assert play(path) == 0
    assert len(trained) == 2  # the network of round 1 that chooses, and that of round 2
    assert (path.parent / "simulate-run" / "simulation.csv").read_bytes() == whole


@pytest.mark.parametrize(
    "function", ["fl1mi", "logdetmi", "gcmi", "com", "entropy", "margin", "least_confidence", "badge", "coreset"]
)
def test_every_function_can_be_played(function: str, write_simulation: Write) -> None:
    path = write_simulation(
        functions=f"[{function}]", seeds="[0]", rounds="1", recipe="{use: small, epochs: 1, batch: 8, warmup: 1}"
    )
    assert play(path) == 0
    assert [row["function"] for row in rounds(path)] == [function] * 2
    assert record(path)["differences"] == []


def test_a_long_tail_can_be_played_and_differences_have_intervals(write_simulation: Write) -> None:
    path = write_simulation(imbalance="long_tail", ratio="2", labelled="12", pool="20")
    assert play(path) == 0
    found = record(path)["differences"]
    assert {row["metric"] for row in found} == {"auroc", "average_precision", "rare"}
    assert {(row["function"], row["baseline"], row["seeds"]) for row in found} == {("flqmi", "random", 2)}
    assert all(row["low"] <= row["value"] <= row["high"] for row in found)
    page = (path.parent / "simulate-run" / "simulation.html").read_text()
    assert page.count("<svg") >= 3
    assert '<span data-series="flqmi">flqmi</span> − <span data-series="random">random</span>' in page
    assert page.count("<script>") == 1  # the report's own: its tables sort and filter
    assert "aria-sort" in page.partition("<script>")[2]


def test_planted_rare_images_are_found_more_often_than_by_chance(write_simulation: Write) -> None:
    path = write_simulation(recipe="{use: small, epochs: 30, batch: 8, warmup: 4}", seeds="[0, 1, 2]", rounds="1", budget="12")
    assert play(path) == 0
    found = {
        name: sum(int(r["rare"]) for r in rounds(path) if r["function"] == name and r["round"] == "1")
        for name in ("flqmi", "random")
    }
    assert found["flqmi"] >= 1.5 * 3 * 12 * 15 / 75


WRONG = {
    "two networks": ({"strategies": "[bce, focal]"}, ["strategies: found 2; allowed: one, what is compared are functions"]),
    "a class nobody knows": ({"classes": "[Mas]"}, ["classes[0]: no class is called 'Mas'; allowed: Nodule, Effusion, Mass; did you mean Mass?"]),
    "no split": ({"test": "{images: 4}"}, ["test: split is missing; say which part of squares is meant"]),
    "twice": ({"functions": "[flqmi, flqmi]"}, ["functions[1]: found the same as functions[0]; allowed: once"]),
    "several": (
        {"rounds": "0", "recipe": "smal", "eta": "2.0", "functions": "[logdetmi]"},
        ["recipe: found 'smal'; allowed: paper2022, imba_explain, small; did you mean small?", "rounds: found 0; allowed: at least 1",
         "eta: found 2; allowed with logdetmi: at most 1, or there is no determinant"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_every_mistake_has_its_line(name: str, write_simulation: Write) -> None:
    lines, expected = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        read(write_simulation(**lines))
    assert [line.split(": ", 1)[1] for line in str(caught.value).splitlines()] == expected


def test_too_few_images_are_told_with_the_line(write_simulation: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(write_simulation(pool="6000")) == 2
    assert "simulate.yaml:2:10: dataset: found " in capsys.readouterr().err


def test_validate_describes_a_good_simulation(write_simulation: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_simulation()
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr().out == (
        f"{path} is good: Choose or not\n  dataset       squares, binary imbalance of 4 to 1\n  classes       Mass\n"
        "  functions     flqmi, random\n  networks      10: 2 rounds of 5 images, 2 seeds\n"
    )


def test_a_simulation_is_not_taken_for_a_selection(write_simulation: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_simulation()
    assert main(["mine", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"auditor: {path}:1:1: found dataset, validation, test, models, ")
    assert said.endswith(f": this looks like a simulate.yaml; use auditor mine --simulate {path}, or write a selection\n")


def test_plan_leaves_the_cost_to_that_of_the_trainings(write_simulation: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(write_simulation())]) == 2
    assert "is a simulation; auditor validate says how many networks it trains" in capsys.readouterr().err


def test_a_diverging_network_ends_its_function_and_not_the_others(
    write_simulation: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from auditor.training.loop import Diverged

    build = simulation._Simulation.trained

    def sometimes(*given: Any) -> Any:
        if given[1].seed == 1 and given[4:] == ("flqmi",):
            raise Diverged("the loss is nan")
        return build(*given)

    monkeypatch.setattr(simulation._Simulation, "trained", sometimes)
    path = write_simulation()
    assert play(path) == 3
    assert "seed 1, flqmi: the loss is nan" in capsys.readouterr().err
    assert {(r["seed"], r["function"]) for r in rounds(path)} == {("0", "flqmi"), ("0", "random"), ("1", "random")}
    assert {row["missing"] for row in record(path)["differences"]} == {"one seed has no spread"}


def test_unreadable_images_stop_a_simulation(write_simulation: Write, capsys: pytest.CaptureFixture[str]) -> None:
    broken = ", ".join(map(str, np.arange(40)))
    assert play(write_simulation(test=f"{{split: test, images: 60, broken: [{broken}]}}")) == 2
    assert "cannot be read (decode:truncated); a simulation needs all of them" in capsys.readouterr().err
