"""Shortcuts: networks of hand-set weights whose answers are known, oracles, and what is chosen, counted and told."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.analyses._edits import with_letter, without_border, without_object
from auditor_plugins.analyses.shortcut_maps import ShortcutMaps
from auditor_plugins.analyses.shortcuts import Shortcuts
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from torch import nn

from auditor import Attribution, Box, Cases, ConfigError, Edges, Network, Sample
from auditor.batch import Batch
from auditor.changed import Film
from auditor.letter import letter, letter_bounds
from auditor.other_places import border
from auditor.statistics.between_splits import ALIKE, Side, standardised
from auditor.statistics.influence import Influence
from auditor.trials import by_lot, passed_through

SIZE = 32
MARKER = Edges(7, 6, 12, 10)
FINDING = Edges(14, 16, 24, 26)
GROUND, BRIGHT = 0.25, 0.75
CLASSES = ("marker", "finding", "blind", "both")


def box(label: str, edges: Edges) -> Box:
    return Box(label, *(edge / SIZE for edge in edges))


def samples(count: int, marked: int) -> list[Sample]:
    """Images with a boxed finding, the first `marked` of them with a marker."""
    return [
        Sample(f"i{n}", f"p{n}", (0, 1, 0, 1), (box("finding", FINDING),), objects=(box("tag", MARKER),) * (n < marked))
        for n in range(count)
    ]


def pixels(of: list[Sample]) -> torch.Tensor:
    images = torch.full((len(of), 1, SIZE, SIZE), GROUND)
    for image, sample in zip(images, of, strict=True):
        image[0, FINDING.top : FINDING.bottom, FINDING.left : FINDING.right] = BRIGHT
        if sample.objects:
            image[0, MARKER.top : MARKER.bottom, MARKER.left : MARKER.right] = BRIGHT
    return images


def network() -> Network:
    """Adds 3 where the marker shines, 2 where the finding does, nothing, or both; -1 always."""
    weights = torch.zeros(4, SIZE, SIZE)
    for number, edges, gain in ((0, MARKER, 3.0), (1, FINDING, 2.0), (3, MARKER, 3.0), (3, FINDING, 2.0)):
        area = (edges.right - edges.left) * (edges.bottom - edges.top)
        weights[number, edges.top : edges.bottom, edges.left : edges.right] = gain / area / (BRIGHT - GROUND)
    linear = nn.Linear(SIZE * SIZE, 4)
    with torch.no_grad():
        linear.weight.copy_(weights.flatten(1))
        linear.bias.copy_(-1 - GROUND * weights.sum((1, 2)))
    return Network(nn.Sequential(nn.Flatten(), linear), range(4))


def batch_of(of: list[Sample], made: Network, images: torch.Tensor, **about: Any) -> Batch:
    """Images as the network is fed them, which are the pictures themselves; changed ones are padded to as many."""

    def fed(pictures: torch.Tensor) -> torch.Tensor:
        return torch.cat([pictures, pictures.new_zeros((len(images) - len(pictures), *images.shape[1:]))])

    return Batch(of, CLASSES, size=(SIZE, SIZE), network=made, images=images, film=Film(images, fed, len(images)), **about)


def measured(of: list[Sample], analysis: Shortcuts, seed: int = 0, made: Network | None = None, **about: Any) -> dict[str, Any]:
    """{metric: [n, 4]}."""
    batch = batch_of(of, made or network(), pixels(of), seed=seed, **about)
    cases, _ = batch.cases(analysis.needs)
    view = batch.view(analysis.needs, cases, trials=analysis.trials(by_lot(of, seed)))
    return {name: np.reshape(values, (len(of), 4)) for name, values in analysis.measure(view).items()}


def test_what_a_network_adds_for_a_marker_is_what_is_gone_without_it() -> None:
    found = measured(samples(6, 4), Shortcuts(objects=("tag",)))
    np.testing.assert_allclose(found["shortcut_log_odds"][0], [2, 1, -1, 4], atol=1e-5)
    np.testing.assert_allclose(found["erase_tag_each"][:4], [[3, 0, 0, 3]] * 4, atol=1e-5)
    np.testing.assert_allclose(found["erase_tag_control_each"][:4], 0, atol=1e-5)
    assert np.isnan(found["erase_tag_each"][4:]).all()
    np.testing.assert_allclose(found["erase_border_each"], 0, atol=1e-5)
    assert np.isnan(found["paste_letter_each"][:4]).all()


def test_a_control_patch_that_moves_the_score_is_taken_off() -> None:
    """The image's brightness is all that counts, and a patch of the ground is as bright as its surroundings: only the marker's is less."""
    linear = nn.Linear(SIZE * SIZE, 4)
    with torch.no_grad():
        linear.weight.fill_(1.0)
        linear.bias.zero_()
    sloped = (pixels(of := samples(1, 1)) + torch.linspace(0, 1, SIZE)[None, None, :, None] ** 2) / 2
    batch = batch_of(of, Network(nn.Sequential(nn.Flatten(), linear), range(4)), sloped)
    analysis = Shortcuts(objects=("tag",))
    view = batch.view(analysis.needs, batch.cases(analysis.needs)[0], trials=analysis.trials(by_lot(of, 0)))
    found = analysis.measure(view)
    changed, control = (image.double().sum().item() for image in analysis.changed(view)[0, "tag"])
    assert found["erase_tag_control_each"][0] == pytest.approx(sloped.double().sum().item() - control, abs=1e-3)
    assert found["erase_tag_each"][0] == pytest.approx(control - changed, abs=1e-3)
    assert abs(found["erase_tag_control_each"][0]) > 1e-3


def test_a_letter_drawn_in_raises_the_score_of_a_network_that_reads_it() -> None:
    """A weight of 1 on every pixel of either letter, but none elsewhere: the letter adds what it brightens."""
    both = letter("L", SIZE, SIZE) | letter("R", SIZE, SIZE)
    linear = nn.Linear(SIZE * SIZE, 4)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(both.astype(np.float32)).flatten().repeat(4, 1))
        linear.bias.zero_()
    reads = Network(nn.Sequential(nn.Flatten(), linear), range(4))
    found = measured(of := samples(12, 0), Shortcuts(), made=reads)
    sizes = {letter(name, SIZE, SIZE).sum() * (BRIGHT - GROUND) for name in ("L", "R")}
    gains = set(np.round(found["paste_letter_each"] + found["paste_letter_control_each"], 3).flatten().tolist())
    assert gains == {round(float(size), 3) for size in sizes}
    assert np.isfinite(found["paste_letter_each"]).all()
    assert len(of) == 12


@given(st.integers(0, 2**32), st.integers(96, 120), st.integers(96, 120))
@settings(max_examples=40, deadline=None)
def test_a_letter_and_its_control_change_as_many_pixels_by_as_much(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    image = random.uniform(0, 0.5, (3, height, width))
    pair = with_letter(image, np.zeros((height, width), bool), np.random.default_rng(seed))
    assert pair is not None
    drawn, control = ((changed != image).any(0) for changed in pair)
    name = "L" if np.nonzero(drawn)[1].min() > width / 2 else "R"
    assert (drawn == letter(name, height, width)).all()
    bounds = letter_bounds(name, height, width)
    assert bounds is not None
    left, top, right, bottom = bounds
    assert not control[top:bottom, left:right].any()
    assert control.sum() == drawn.sum()
    for changed, where in zip(pair, (drawn, control), strict=True):
        np.testing.assert_array_equal(changed[:, where], np.repeat(image.max((1, 2))[:, None], where.sum(), 1))


@given(st.integers(0, 2**32), st.floats(0.1, 10), st.floats(-5, 5))
@settings(max_examples=30, deadline=None)
def test_changes_do_not_depend_on_how_pixels_are_scaled(seed: int, scale: float, shift: float) -> None:
    """Networks that normalise differently are asked about the same changed image."""
    image = np.random.default_rng(seed).uniform(0, 1, (1, 24, 24))
    taken = np.zeros((24, 24), bool)
    for change in (
        lambda shown: without_border(shown, 0.05),
        lambda shown: without_object(shown, [MARKER], taken, np.random.default_rng(seed)),
        lambda shown: with_letter(shown, taken, np.random.default_rng(seed)),
    ):
        for plain, other in zip(change(image), change(scale * image + shift), strict=True):
            np.testing.assert_allclose(other, scale * plain + shift, atol=1e-9)


def test_without_the_border_nothing_inside_changes() -> None:
    image = np.random.default_rng(0).uniform(0, 1, (2, 40, 60))
    changed, control = ((shown != image).any(0) for shown in without_border(image, 0.1))
    assert (changed == border(40, 60, 0.1)).all()
    assert not (control & border(40, 60, 0.1)).any()


def test_control_places_keep_clear_of_findings_and_of_objects_and_are_none_without_room() -> None:
    image, taken = np.random.default_rng(1).uniform(0, 1, (1, 12, 12)), np.ones((12, 12), bool)
    taken[6:10, 6:11] = False
    pair = without_object(image, [Edges(0, 0, 5, 4)], taken, np.random.default_rng(0))
    assert pair is not None
    assert ((pair[1] != image).any(0) == ~taken).all()
    taken[6, 6] = True
    assert without_object(image, [Edges(0, 0, 5, 4)], taken, np.random.default_rng(0)) is None


def test_a_letters_control_is_never_drawn_over_the_letter() -> None:
    """Nothing is free but the letters' own corners and one place."""
    image, taken, free = (
        np.random.default_rng(0).uniform(0, 0.5, (1, 96, 96)),
        np.ones((96, 96), bool),
        np.zeros((96, 96), bool),
    )
    for name in ("L", "R"):
        bounds = letter_bounds(name, 96, 96)
        assert bounds is not None
        left, top, right, bottom = bounds
        taken[top:bottom, left:right] = False
        free[60 : 60 + bottom - top, 40 : 40 + right - left] = True
    one = np.where(free, False, taken)
    for seed in range(30):
        pair = with_letter(image, one, np.random.default_rng(seed))
        assert pair is not None
        drawn, control = ((changed != image).any(0) for changed in pair)
        assert not (drawn & control).any()
        with_room = control & ~free
        assert not with_room.any() or (with_room[:, :48].any() != drawn[:, :48].any())  # in the other letter's corner


def test_every_forward_pass_is_announced() -> None:
    of, made = samples(6, 4), network()
    analysis = Shortcuts(objects=("tag",))
    measured(of, analysis, made=made)
    announced = passed_through(analysis, analysis.trials(by_lot(of, 0)))
    assert announced == 2 * (6 + 4 + 2)
    assert made.forwards == 1 + announced // 6


def test_with_a_softmax_head_log_odds_are_against_all_other_outputs() -> None:
    of = samples(5, 2)
    images, made = pixels(of), network()
    batch = batch_of(of, made, images, softmax=True)
    view = batch.view(Shortcuts.needs, batch.cases(Shortcuts.needs)[0])
    raw = made.module(images * 0.5).double().numpy()
    right = [[row[k] - logsumexp(np.delete(row, k)) for k in range(4)] for row in raw]
    np.testing.assert_allclose(view.log_odds_of(enumerate(images * 0.5)), right, atol=1e-5)
    np.testing.assert_allclose(view.log_odds_of(enumerate(images)), batch.logits, atol=1e-5)
    assert view.log_odds_of([]).shape == (0, 4)


def test_images_are_the_first_by_lot_and_a_letter_goes_where_no_object_is() -> None:
    of = [*samples(40, 25), Sample("lost", "p", (0, 0, 0, 0), problem="missing")]
    analysis = Shortcuts(objects=("tag",), images=10)
    tried = analysis.trials(by_lot(of, 3))
    order = sorted((s.id for s in of if not s.problem), key=lambda name: hashlib.sha256(f"3|lot|{name}".encode()).digest())
    by_name = {name: {i for i, names in tried.items() if name in names} for name in ("border", "tag", "letter")}
    assert by_name["border"] == set(order[:10])
    assert by_name["tag"] == {i for i in order if int(i[1:]) < 25 and i in set([j for j in order if int(j[1:]) < 25][:10])}
    assert by_name["letter"] == set([j for j in order if int(j[1:]) >= 25][:10])
    assert analysis.trials(by_lot(of, 4)) != tried


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objects": ("Border",)}, "shortcuts: objects[0]: 'Border' would be told by the same names as 'border'; give its boxes another label"),
        ({"objects": ("A b", "a_b")}, "shortcuts: objects[1]: 'a_b' would be told by the same names as 'A b'; give its boxes another label"),
        ({"objects": ("#",)}, "shortcuts: objects[0]: '#' has no letter or digit a metric could be called by"),
    ],
)  # fmt: skip
def test_objects_whose_names_would_be_confused_are_refused(options: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Shortcuts(**options)
    assert str(caught.value) == said


# maps


class Given(Attribution):
    """Hands out maps made beforehand."""

    name = "given"

    def __init__(self, maps: torch.Tensor) -> None:
        self.maps = maps

    def explain(self, network: Network, images: torch.Tensor, cases: Cases) -> torch.Tensor:
        return self.maps[cases.image]


def shares(maps: torch.Tensor) -> dict[str, Any]:
    of = samples(len(maps), len(maps))
    analysis = ShortcutMaps(objects=("tag",))
    batch = Batch(of, CLASSES, size=(SIZE, SIZE), network=network(), images=pixels(of))
    view = batch.view(analysis.needs, batch.cases(analysis.needs)[0], Given(maps), trials=analysis.trials(by_lot(of, 0)))
    return {name: np.reshape(values, (len(of), 2)) for name, values in analysis.measure(view).items()}


def test_evidence_on_a_marker_less_what_its_area_would_get() -> None:
    area, edge = 20 / SIZE**2, border(SIZE, SIZE, 0.05).mean()
    on, half = torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)
    on[MARKER.top : MARKER.bottom, MARKER.left : MARKER.right] = 2
    half[MARKER.top, MARKER.left] = half[0, 0] = 1
    half[20, 20] = -5  # evidence against the finding counts as none
    found = shares(torch.stack([on, half, torch.ones(SIZE, SIZE), -on]))
    np.testing.assert_allclose(found["evidence_on_tag"][:, 0], [1 - area, 0.5 - area, 0, np.nan], atol=1e-12)
    np.testing.assert_allclose(found["evidence_on_border"][:, 1], [-edge, 0.5 - edge, 0, np.nan], atol=1e-12)


@given(st.integers(0, 2**32), st.integers(1, 12), st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_shares_stay_between_their_bounds_whatever_the_scale(seed: int, side: int, scale: float) -> None:
    maps = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, side, side)))
    found, again = shares(maps), shares(maps * scale)
    for name in found:
        np.testing.assert_allclose(found[name], again[name], atol=1e-9)
        assert (np.abs(found[name][~np.isnan(found[name])]) <= 1).all()


# statistics


def test_a_mean_in_standard_deviations_worked_by_hand() -> None:
    """Mean 2 of 1, 2, 3; the scale 0, 2, 4 has standard deviation 2."""
    found = standardised(Side(np.array([1.0, 2, 3]), np.arange(3)), np.array([0.0, 2, 4]))
    assert isinstance(found, Influence)
    assert found.value == pytest.approx(1)
    assert (found.influence**2).sum() ** 0.5 == pytest.approx(np.std([1, 2, 3], ddof=1) / 3**0.5 / 2)
    assert standardised(Side(np.array([1.0, 2]), np.arange(2)), np.array([3.0, 3])) == ALIKE
