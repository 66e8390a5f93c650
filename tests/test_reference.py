"""The tables of the documentation are those that the code declares, and every key says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from auditor.catalogue import show_default
from auditor.errors import ConfigError
from auditor.reference import BLOCK, SHAPES, cards, declared, filled, keys
from auditor.registry import Registry

from .conftest import ROOT

PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if BLOCK.search(path.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_tables_are_current(page: Path) -> None:
    text = page.read_text()
    assert filled(text) == text, f"run: python -m auditor.reference docs/{page.name}"


def test_every_table_stands_somewhere() -> None:
    named = {found[2] for page in PAGES for found in BLOCK.finditer(page.read_text())}
    assert named == {*SHAPES, "datasets", "models", "attributions", "analyses", "strategies", "metrics", "recipes", "card"}


def test_a_table_that_is_not_known_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no table is called 'gate'; allowed: .*; did you mean gates\?"):
        filled("<!-- made: gate -->\n<!-- end -->")


def test_a_stale_table_is_made_anew_and_the_rest_is_left() -> None:
    page = "before\n<!-- made: report -->\nold\n<!-- end -->\nafter\n"
    made = filled(page)
    assert made.startswith("before\n")
    assert made.endswith("<!-- end -->\nafter\n")
    assert "\nold\n" not in made
    assert "| `images` | Whether the report shows images" in made
    assert "| true or false | `true` |" in made
    assert filled(made) == made


@pytest.mark.parametrize("name", SHAPES)
def test_every_key_says_what_it_is_in_a_sentence(name: str) -> None:
    shape, shared = SHAPES[name]
    for key, field in shape.model_fields.items():
        if shared is None or key not in shared.model_fields:
            assert (field.description or "").endswith("."), f"{shape.__name__}.{key}"


def test_the_table_of_gates_tells_needs_choices_bounds_and_defaults() -> None:
    rows = {line.split("`")[1]: line for line in keys(SHAPES["gates"][0]).splitlines()[2:]}
    assert list(rows) == ["metric", "claim", "strategy", "class", "attribution", "margin", "value", "tier"]
    assert rows["claim"].endswith("| noninferior or not_shown_worse or at_least or at_most | must be given |")
    assert rows["margin"].endswith("| number > 0 | nothing |")
    assert rows["tier"].endswith("| blocking or advisory | `blocking` |")


def test_every_metric_of_every_analysis_has_a_card() -> None:
    page = cards(Registry())
    for name, cls in Registry().all("analyses").items():
        assert f"## {name}\n" in page
        for metric in declared(cls):
            if not metric.card:  # one of many changes of another, whose card says it all
                assert f"### `{metric.name}`\n" not in page
                assert f"### `{metric.repeats}`\n" in page
                continue
            card = page.split(f"### `{metric.name}`\n")[1].split("\n### ")[0]
            assert metric.says in card
            assert (metric.pitfall or "no pitfall declared") in card


@pytest.mark.parametrize("kind", ["datasets", "models", "attributions", "analyses", "strategies"])
def test_every_option_of_every_plugin_is_listed_with_its_default(kind: str) -> None:
    page = (ROOT / "docs" / "audit-yaml.md").read_text()
    table = page.split(f"<!-- made: {kind} -->")[1].split("<!-- end -->")[0]
    registry = Registry()
    for name in registry.all(kind):
        options = registry.options(kind, name)
        own = table.split(f"#### `{name}`\n")[1].split("\n#### ")[0]
        for option in options.fields:
            (row,) = [line for line in (own + table.split("####")[0]).splitlines() if line.startswith(f"| `{option}` |")]
            default = None if options.needed(option) else options.default(option)
            told = "nothing" if default in (None, "", (), {}) else f"`{show_default(default)}`"
            assert row.endswith(f"| {'must be given' if options.needed(option) else told} |"), f"{name}.{option}"


@pytest.mark.parametrize(("name", "key"), [("audit", "reference"), ("train", "recipe"), ("mine", "pool")])
def test_the_example_of_a_file_shows_all_of_its_keys(name: str, key: str) -> None:
    page = (ROOT / "docs" / "audit-yaml.md").read_text()
    (block,) = [b for b in page.split("```yaml\n")[1:] if f"\n{key}:" in b.split("```")[0]]
    shape, _ = SHAPES[name]
    shown = yaml.safe_load(block.split("```")[0])
    wanted = {field.alias or key for key, field in shape.model_fields.items()}
    assert wanted - {"model"} == set(shown)
