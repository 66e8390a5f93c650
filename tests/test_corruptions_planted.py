"""Networks whose answers under a change are known: planted truth, identity, A against A, and a whole audit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.analyses._changes import ALL
from auditor_plugins.analyses.corrupted_maps import CorruptedMaps
from auditor_plugins.analyses.corruptions import BEFORE, Corruptions
from auditor_plugins.attributions.gradcam import GradCam
from torch import Tensor, nn

from auditor import ConfigError, PluginError, Preprocessing, Sample
from auditor import config as configs
from auditor.batch import Batch, View
from auditor.changed import Film
from auditor.corruptions import CORRUPTIONS
from auditor.errors import ExitCode
from auditor.estimate import estimate
from auditor.evidence import read
from auditor.imaging import fed
from auditor.network import Network
from auditor.planning import make
from auditor.registry import Registry
from auditor.run import run
from auditor.testing import check_analysis, check_section
from auditor.trials import by_lot

LENS = Preprocessing(size=24, channels=3)
"""ImageNet's normalisation, which a change must undo and redo."""
MOST = 8


class Reads(nn.Module):
    """Undoes the normalisation and gives logits of a function of the picture [N, 3, H, W] in 0..1."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.function = function
        self.register_buffer("mean", torch.tensor(LENS.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(LENS.std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self.layer(images) * self.std + self.mean)


def view(
    function: Callable[[Tensor], Tensor] | nn.Module, n: int = 5, needs: frozenset[str] = Corruptions.needs, seed: int = 0
) -> View:
    """Grey pictures of one class, between 0.2 and 0.8 but for a corner that is black or white, as the pipeline would hand them over."""
    pictures = 0.2 + 0.6 * torch.rand((n, 1, 24, 24), generator=torch.Generator().manual_seed(seed))
    pictures[:, :, :4, :4] = (torch.arange(n) % 2).float()[:, None, None, None]
    module = function if isinstance(function, nn.Module) else Reads(function)

    def prepared(part: Tensor) -> Tensor:
        images = fed(part.numpy(), LENS)
        return torch.cat([images, images.new_zeros((MOST - len(images), *images.shape[1:]))])

    network = Network(module, [0], {"attribution": "layer"})
    images = prepared(pictures)
    network.probe(images[:2], ["Mass"])
    samples = [Sample(f"s{number}", f"p{number}", (number % 2,)) for number in range(n)]
    batch = Batch(samples, ["Mass"], size=(24, 24), network=network, images=images, film=Film(pictures, prepared, MOST))
    return batch.view(needs, batch.cases(needs)[0], GradCam() if "attribution" in needs else None)


def brightness(pictures: Tensor) -> Tensor:
    return 10 * pictures.mean((1, 2, 3))[:, None] - 5


def corner(pictures: Tensor) -> Tensor:
    return 4 * pictures[:, :1, 0, 0] - 2


def test_a_network_that_reads_brightness_answers_a_gamma_by_the_brightness_of_the_powers() -> None:
    looked = view(brightness)
    found = Corruptions(changes=("brighter", "wide_window")).measure(looked)
    pictures = looked.pictures.double()
    np.testing.assert_allclose(found[BEFORE], 10 * pictures.mean((1, 2, 3)) - 5, atol=1e-5)
    np.testing.assert_allclose(found["logit_brighter"], 10 * (pictures**0.8).mean((1, 2, 3)) - 5, atol=1e-5)
    np.testing.assert_allclose(
        found["logit_wide_window"], 0.8 * found[BEFORE], atol=1e-5
    )  # about middle grey, which it calls 0
    assert (found["logit_brighter"] > found[BEFORE]).all()


def test_a_network_that_reads_what_a_change_leaves_alone_does_not_move() -> None:
    found = Corruptions(changes=("brighter", "darker", "narrow_window")).measure(view(corner))
    for name in ("logit_brighter", "logit_darker", "logit_narrow_window"):
        np.testing.assert_allclose(found[name], found[BEFORE], atol=1e-5)
    assert set(np.round(found[BEFORE], 3)) == {-2.0, 2.0}
    moved = Corruptions(changes=("noise", "wide_window")).measure(view(corner))
    np.testing.assert_allclose(moved["logit_wide_window"], 0.8 * moved[BEFORE], atol=1e-5)


class Layered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3, padding=1))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 1))

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.head(self.layer(images))
        return found


def test_pictures_that_stay_as_they_are_give_the_same_bits() -> None:
    looked = view(Layered())
    again = looked.log_odds_of(list(enumerate(looked.pictures)) * 7)  # 35 pictures in batches of 8, wherever they fall
    assert again.shape == (35, 1)
    assert torch.equal(again, looked.logits.repeat(7)[:, None])
    mapped = view(Layered(), needs=CorruptedMaps.needs)
    maps = torch.cat(list(mapped.maps_of(list(enumerate(mapped.pictures)) * 3)))
    assert torch.equal(maps, mapped.maps.cpu().repeat(3, 1, 1))


def test_versions_come_back_in_their_order_and_belong_to_their_images() -> None:
    looked = view(brightness)
    levels = [0.1, 0.4, 0.9]
    made = ((image, looked.pictures[image] * 0 + image / 10 + level / 2) for level in levels for image in (3, 0, 4, 1))
    expected = [[10 * (image / 10 + level / 2) - 5] for level in levels for image in (3, 0, 4, 1)]
    np.testing.assert_allclose(looked.log_odds_of(made), expected, atol=1e-5)
    assert looked.log_odds_of([]).shape == (0, 1)


def test_asking_about_other_pictures_does_not_make_the_network_forget_the_batch() -> None:
    looked = view(Layered())
    network, images = looked.network, looked.images
    network.features(images)
    before = network.forwards
    looked.log_odds_of([*enumerate(looked.pictures)] * 2)
    assert network.forwards == before + 2, "10 pictures in batches of 8"
    network.features(images)
    assert network.forwards == before + 2


def test_a_network_that_does_not_look_at_the_place_has_maps_that_move_with_the_picture() -> None:
    class Bright(Reads):
        def forward(self, images: Tensor) -> Tensor:
            seen = self.layer(images * self.std + self.mean)
            return seen.mean((1, 2, 3))[:, None]

    needs = CorruptedMaps.needs
    looked = view(Bright(brightness), n=6, needs=needs)
    found = CorruptedMaps(changes=("brighter", "rotation", "shift")).measure(looked)
    assert (found["map_agreement_brighter"] > 0.999).all(), "the map is the picture, and a gamma keeps its order"
    assert (found["map_agreement_shift"] > 0.95).all()
    assert (found["map_agreement_rotation"] > 0.6).all(), "interpolation smooths the noise of the picture"
    each = [found[f"map_agreement_{name}"] for name in ("brighter", "rotation", "shift")]
    np.testing.assert_allclose(found["map_agreement"], np.mean(each, 0))


def test_a_case_without_a_finite_answer_to_one_change_has_none_at_all() -> None:
    def breaks(pictures: Tensor) -> Tensor:
        return brightness(pictures) / (pictures[:, :1, 0, 0] < 0.95)  # infinite where the corner is white

    found = Corruptions(changes=("brighter",)).measure(view(breaks))
    assert np.isnan(found[BEFORE]).tolist() == np.isnan(found["logit_brighter"]).tolist() == [False, True, False, True, False]


def test_a_version_that_is_no_picture_is_refused() -> None:
    looked = view(brightness)
    with pytest.raises(PluginError, match=r"from 0.* to 1.*, not in 0\.\.1"):
        looked.log_odds_of([(0, looked.pictures[0] + 0.5)])
    with pytest.raises(PluginError, match=r"of shape \[1, 23, 24\], not \[1, 24, 24\]"):
        looked.log_odds_of([(0, looked.pictures[0, :, 1:])])
    with pytest.raises(PluginError, match="of image 5; the view has 5, counted from 0"):
        looked.log_odds_of([(5, looked.pictures[0])])
    bare = Batch([Sample("s", "p", (1,))], ["Mass"], scores=torch.zeros((1, 1))).view(Corruptions.needs, [(0, 0)])
    with pytest.raises(PluginError, match="pictures of a batch that has none"):
        _ = bare.pictures


def test_the_names_of_the_option_are_those_of_the_changes() -> None:
    assert tuple(CORRUPTIONS) == ALL


def test_both_keep_the_contract_of_an_analysis() -> None:
    check_analysis(Corruptions(changes=("brighter", "noise", "shift")))
    check_analysis(CorruptedMaps(changes=("noise", "shift")), GradCam())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"changes": ("brigther",)}, r"changes: found 'brigther'; allowed: brighter, darker, .*crop; did you mean brighter"),
        ({"changes": ()}, "changes: found none; allowed: brighter"),
        ({"changes": ("noise", "noise")}, "changes: noise is listed twice"),
        ({"images": 0}, "images: found 0; allowed: at least 1"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    for analysis in (Corruptions, CorruptedMaps):
        with pytest.raises(ConfigError, match=message):
            analysis(**options)
    with pytest.raises(ConfigError, match="specificity: 1 is not between 0 and 1"):
        Corruptions(specificity=1)


CHANGES = "[brighter, noise, shift]"
ANALYSES = f"[performance, {{use: corruptions, changes: {CHANGES}, images: 24}}, {{use: corrupted_maps, changes: {CHANGES}, images: 10}}]"
NETWORK = "use: tiny_network, weights: 1, preprocessing: {size: 32}"


def test_a_whole_audit_of_one_network_twice(write_audit: Callable[..., Path], tmp_path: Path, counts: Counter[str]) -> None:
    models = f"[{{{NETWORK}, strategy: bce}}, {{{NETWORK}, strategy: focal}}]"
    path = write_audit(analyses=ANALYSES, models=models, batch="16")
    plan = make(configs.read(path), Registry(configs.read(path).plugins, path.parent))
    assert estimate(plan).trials == 2 * (3 * 24 + 3 * 10)
    result = run(path, tmp_path / "out")
    assert result.exit_code is ExitCode.COMPLETE, result.messages
    evidence = read(tmp_path / "out")
    apart = [row for row in (*evidence.comparisons, *evidence.repeated) if row.analysis.startswith("corrupt")]
    assert {row.metric for row in apart} == {"auroc", "auroc_change", "decisions_changed", "score_moved", "map_agreement"}
    assert {row.difference for row in apart if row.missing is None} == {0}, "a network and its copy"
    levels = {row.metric: row for row in evidence.select(class_name="Nodule") if row.model.startswith("bce")}
    assert levels["auroc_change_noise"].n == 24
    positive = [sample for sample in by_lot(plan.samples, plan.config.seed)[:10] if sample.labels[0] == 1]
    assert levels["map_agreement"].n == len(positive)
    assert 0 < levels["decisions_changed_brighter"].value <= 1
    assert [picture.words for picture in evidence.pictures if picture.kind == "changed"] == [
        "as it is", "brighter (gamma 0.8)", "quantum noise (5 % in white)", "shifted by 4 %",
    ]  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text()
    assert "One image under every change" in page
    assert "corruptions on 24 of 40 images, drawn by a hash of their names" in page
    from auditor_plugins.sections.robustness import Robustness

    check_section(Robustness(), evidence)


@pytest.mark.slow
def test_without_pictures_the_section_shows_none(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    analyses = "[{use: corruptions, changes: [brighter], images: 12}]"
    path = write_audit(analyses=analyses, attributions="[]", report="{formats: [html], images: false}")
    assert run(path, tmp_path / "out").exit_code is ExitCode.COMPLETE
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What each change does to AUROC" in page
    assert "One image under every change" not in page
    assert not [p for p in read(tmp_path / "out").pictures if p.kind == "changed"]
    declared = json.loads((tmp_path / "out" / "results.json").read_text())["metrics"]
    assert declared["auroc_change_brighter"]["over"] == ["logit_brighter"]
    assert declared["auroc_change_brighter"]["card"] is False
