"""Planted phantoms: the boxes are exact, the dials do what they say, and a film depends on nothing but its name."""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from auditor_plugins.datasets.planted import Planted
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from auditor import checkpoint, planted
from auditor.trained import met, read_folder

MANY = 4000
SHAPES = st.tuples(st.integers(32, 170), st.integers(32, 170))


@pytest.fixture(scope="module")
def many() -> list[planted.Film]:
    return [planted.film(0, "test", *name) for name in planted.films(0, "test", MANY, 4)]


def with_each_kind(films: list[planted.Film], each: int) -> list[planted.Film]:
    return [film for kind in planted.CLASSES for film in [film for film in films if film.shows(kind)][:each]]


def tight(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@given(patient=st.integers(0, 10**6), shape=SHAPES, seed=st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_boxes_are_the_tight_bounds_of_the_masks_at_any_size(patient: int, shape: tuple[int, int], seed: int) -> None:
    film = planted.film(seed, "test", patient, 1)
    for kind in planted.CLASSES:
        for side in (-1, 1):
            lesion = planted.Lesion(kind, side, *np.random.default_rng(patient).random(5))
            ill = replace(film, lesions=(lesion,))
            (mask,) = planted.draw(ill, *shape).masks
            assert planted.bounds(ill, lesion, *shape) == tight(mask)


def test_boxes_of_the_data_set_are_the_bounds_of_the_masks_in_fractions_of_the_image() -> None:
    dataset = Planted(images=120, size=(96, 160))
    for sample in dataset.index():
        film = dataset.film(*map(int, sample.source.split("/")))
        masks = planted.draw(film, 96, 160).masks
        assert [box.label for box in sample.boxes] == [lesion.kind for lesion in film.lesions]
        for box, mask in zip(sample.boxes, masks, strict=True):
            edges = (box.left * 160, box.top * 96, box.right * 160, box.bottom * 96)
            np.testing.assert_allclose(edges, tight(mask), atol=1e-9)


def test_masks_are_the_same_places_whatever_the_size() -> None:
    film = planted.film(0, "test", 0, 1)
    for kind in planted.CLASSES:
        lesion = planted.Lesion(kind, 1, 0.5, 0.5, 0.5, 0.5, 0.5)
        ill = replace(film, lesions=(lesion,))
        small, large = (np.array(planted.bounds(ill, lesion, size, size)) / size for size in (64, 1024))
        np.testing.assert_allclose(small, large, atol=1.01 / 64)


@pytest.mark.parametrize("kind", planted.CLASSES)
def test_every_kind_of_lesion_can_be_seen(kind: planted.Kind, many: list[planted.Film]) -> None:
    contrasts = []
    for film in [film for film in many if film.shows(kind)][:25]:
        others = tuple(lesion for lesion in film.lesions if lesion.kind != kind)
        ill, well = planted.draw(film, 128, 128), planted.draw(replace(film, lesions=others), 128, 128)
        mask = np.any([mask for mask, lesion in zip(ill.masks, film.lesions, strict=True) if lesion.kind == kind], axis=0)
        contrasts.append((ill.pixels - well.pixels)[mask].mean())
    sign, grain = -1 if kind == "Pneumothorax" else 1, 0.022
    # Most of a large heart was heart before; air can only take away what little shade a lung has.
    weak = kind in ("Cardiomegaly", "Pneumothorax")
    assert min(sign * contrast for contrast in contrasts) > 0.5 * grain
    assert sign * np.mean(contrasts) > (1.5 if weak else 3) * grain


def test_taking_all_lesions_away_changes_nothing_outside_their_masks(many: list[planted.Film]) -> None:
    for film in with_each_kind(many, 5):
        if film.shows("Cardiomegaly"):
            continue
        ill, well = planted.draw(film, 96, 96), planted.draw(replace(film, lesions=()), 96, 96)
        assert not (ill.pixels != well.pixels)[~np.any(ill.masks, axis=0)].any()


def test_lungs_are_dark_beside_the_belly_and_lesions_lie_in_the_body(many: list[planted.Film]) -> None:
    for film in many[:40]:
        drawing, build = planted.draw(replace(film, lesions=()), 128, 128), film.anatomy
        row = round(128 * (build.apex + 0.45 * (build.base - build.apex)))
        column = round(128 * (build.middle + 0.6 * build.chest))
        lung = drawing.pixels[row - 4 : row + 4, column - 4 : column + 4].mean()
        assert lung + 0.2 < drawing.pixels[-10:, 54:74].mean()
    for film in with_each_kind(many, 20):
        drawing = planted.draw(film, 128, 128)
        assert all(drawing.body[mask].all() for mask in drawing.masks)


@given(patient=st.integers(0, 10**5), shape=SHAPES)
@settings(max_examples=40, deadline=None)
def test_air_is_black_and_the_body_is_not(patient: int, shape: tuple[int, int]) -> None:
    pixels, _, marker, body = planted.draw(planted.film(1, "val", patient, 1), *shape)
    assert pixels.shape == shape
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert (pixels[~body & ~marker] == 0).all()
    assert (pixels[body] > 0).all()
    assert 0.4 < body.mean() < 0.95
    assert pixels[body].mean() > 0.3


def test_prevalence_is_long_tailed_as_declared(many: list[planted.Film]) -> None:
    shares = [sum(film.shows(kind) for film in many) / MANY for kind in planted.CLASSES]
    declared = [planted.PREVALENCE[kind] for kind in planted.CLASSES]
    assert sorted(declared, reverse=True) == declared
    assert declared[0] > 7 * declared[-1]
    # Findings persist within patients, so the spread is that of fewer independent films: 5 of the naive standard deviations.
    for share, truth in zip(shares, declared, strict=True):
        assert abs(share - truth) < 5 * (truth * (1 - truth) / MANY) ** 0.5
    assert shares == sorted(shares, reverse=True)
    assert any(len({lesion.kind for lesion in film.lesions}) > 2 for film in many)


def marked(films: list[planted.Film], kind: planted.Kind) -> tuple[float, float]:
    """Share of films with a marker, among those with the finding and those without."""
    ill = [bool(film.marker) for film in films if film.shows(kind)]
    well = [bool(film.marker) for film in films if not film.shows(kind)]
    return sum(ill) / len(ill), sum(well) / len(well)


@pytest.mark.parametrize("kind", ["Nodule", "Pneumothorax"])
def test_the_marker_dial_is_the_difference_it_makes(kind: planted.Kind) -> None:
    names = list(planted.films(0, "test", 3000, 4))
    for dial in (0.0, 0.7, 1.0):
        films = [planted.film(0, "test", *name, dial, kind) for name in names]
        ill, well = marked(films, kind)
        if dial == 1:
            assert (ill, well) == (1, 0)
        count = sum(film.shows(kind) for film in films)
        assert abs(ill - well - dial) < 4 * 0.5 * (1 - dial) ** 0.5 / count**0.5 + 1e-12
        bystander = marked(films, "Effusion")
        assert abs(bystander[0] - bystander[1]) < 0.1
    letters = Counter(film.marker for film in films if film.marker)
    assert abs(letters["L"] - letters["R"]) < 5 * sum(letters.values()) ** 0.5


def test_the_letter_stands_in_its_corner_and_nothing_else_changes_with_it() -> None:
    film = planted.film(0, "test", 3, 1)
    plain, left, right = (planted.draw(replace(film, marker=letter), 200, 150) for letter in ("", "L", "R"))
    assert not plain.marker.any()
    assert np.nonzero(left.marker)[1].min() > 130
    assert np.nonzero(right.marker)[1].max() < 20
    for drawing in (left, right):
        assert np.array_equal(drawing.pixels[~drawing.marker], plain.pixels[~drawing.marker])
        assert drawing.pixels[drawing.marker].min() > 0.9


@given(order=st.permutations(range(12)), images=st.integers(1, 60), seed=st.integers(0, 2**64 - 1))
@settings(max_examples=8, deadline=None)
def test_a_film_is_the_same_whatever_the_order_and_the_number_of_images(order: list[int], images: int, seed: int) -> None:
    whole = Planted(images=60, size=40, seed=seed, marker=0.5)
    part = replace(whole, images=images)
    samples = whole.index()
    assert part.index() == samples[:images]
    expected = [whole.read(sample) for sample in samples[:12]]
    for place in order:
        assert np.array_equal(Planted(images=1, size=40, seed=seed, marker=0.5).read(samples[place]), expected[place])


def test_splits_and_seeds_share_neither_patients_nor_anatomy() -> None:
    sets = [Planted(images=300, split=split).index() for split in ("train", "val", "test")]
    patients = [{sample.patient for sample in samples} for samples in sets]
    assert sum(map(len, patients)) == len(set.union(*patients))
    films = [
        planted.film(seed, split, patient, 1) for seed in (0, 1) for split in ("train", "val", "test") for patient in range(50)
    ]
    assert len({film.anatomy.chest for film in films}) == len(films)
    assert len({film.texture for film in films} | {film.grain for film in films}) == 2 * len(films)


def test_the_films_of_a_patient_share_the_anatomy_but_not_the_grain() -> None:
    samples = Planted(images=1000, repeats=4).index()
    films = Counter(sample.patient for sample in samples)
    assert set(films.values()) == {1, 2, 3, 4}
    assert films.most_common(1)[0][1] == 4
    first, again = planted.film(0, "test", 0, 1), planted.film(0, "test", 0, 2)
    assert first.anatomy.chest == again.anatomy.chest
    assert first.texture == again.texture
    assert first.grain != again.grain
    same, other = [], []
    for patient in range(30):
        one, two = (planted.draw(replace(planted.film(0, "test", patient, n), lesions=()), 64, 64).pixels for n in (1, 2))
        stranger = planted.draw(replace(planted.film(0, "test", patient + 1, 1), lesions=()), 64, 64).pixels
        same.append(np.abs(one - two).mean())
        other.append(np.abs(one - stranger).mean())
    assert np.mean(same) < 0.6 * np.mean(other)
    assert Planted(images=50, repeats=1).index()[49].patient == "test-000049"


def test_findings_persist_in_patients_more_often_than_chance(many: list[planted.Film]) -> None:
    pairs = [[planted.film(0, "test", patient, n).shows("Infiltration") for n in (1, 2)] for patient in range(4000)]
    both = np.mean([first and second for first, second in pairs])
    p = planted.PREVALENCE["Infiltration"]
    expected = p * p + 0.25 * p * (1 - p)
    assert abs(both - expected) < 4 * (expected * (1 - expected) / 4000) ** 0.5


def test_boxed_is_the_share_of_films_with_findings_that_carry_boxes() -> None:
    whole = Planted(images=1000)
    ill = [sample for sample in whole.index() if any(sample.labels)]
    assert all(sample.boxes for sample in ill)
    assert not any(sample.boxes for sample in whole.index() if not any(sample.labels))
    half = [sample for sample in replace(whole, boxed=0.5).index() if any(sample.labels)]
    share = sum(bool(sample.boxes) for sample in half) / len(half)
    assert abs(share - 0.5) < 4 * 0.5 / len(half) ** 0.5
    assert all(not some.boxes or some.boxes == every.boxes for some, every in zip(half, ill, strict=True))
    assert not any(sample.boxes for sample in replace(whole, boxed=0.0).index())


def test_the_binary_task_asks_for_any_finding() -> None:
    several, single = Planted(images=200), Planted(images=200, task="binary")
    assert single.classes() == ("Unhealthy",)
    for many, one in zip(several.index(), single.index(), strict=True):
        assert one.labels == (int(any(many.labels)),)
        assert [box.label for box in one.boxes] == ["Unhealthy"] * len(many.boxes)
    assert np.array_equal(several.read(several.index()[7]), single.read(single.index()[7]))


def test_train_counts_are_those_of_the_training_split() -> None:
    for task in ("multilabel", "binary"):
        train = Planted(images=500, split="train", task=task)
        images, positives = Planted(images=3, task=task, train_images=500).train_counts()
        assert images == 500
        labels = [sample.labels for sample in train.index()]
        assert list(positives.values()) == [sum(column) for column in zip(*labels, strict=True)]
        assert tuple(positives) == train.classes()


def test_what_was_planted_is_said() -> None:
    assert "phantoms" in Planted().notes()[0]
    assert len(Planted().notes()) == 1
    assert "0.90" in Planted(marker=0.9).notes()[1]
    assert "Nodule" in Planted(marker=0.9).notes()[1]


def test_versions_differ_when_the_pixels_may() -> None:
    versions = {Planted(images=1, seed=seed, marker=dial).index()[0].version for seed in (0, 1) for dial in (0.0, 0.5)}
    assert len(versions) == 4


def test_films_look_as_they_did_when_their_version_was_numbered() -> None:
    assert planted.VERSION == 1, "draw these numbers again"
    film = planted.film(0, "test", 0, 1, 0.5)
    found = {lesion.kind: planted.bounds(film, lesion, 128, 128) for lesion in film.lesions}
    assert found == {"Infiltration": (75, 64, 93, 94), "Mass": (87, 51, 103, 76), "Cardiomegaly": (48, 63, 97, 115)}
    pixels = planted.draw(film, 128, 128).pixels
    np.testing.assert_allclose(pixels[64, ::32], [0, 0.23405677, 0.6208429, 0.43252942], atol=1e-4)
    assert abs(pixels.mean() - 0.38553554) < 1e-4


QUICKSTART = Path(__file__).resolve().parent.parent / "examples" / "quickstart"
STRATEGIES = ("bce", "wbce", "focal", "cb_focal")


def test_the_quickstart_networks_are_small_and_say_what_they_are() -> None:
    networks = read_folder(QUICKSTART / "networks")
    files = [network.folder / "model.safetensors" for network in networks]
    assert {network.card["strategy"]["name"] for network in networks} == set(STRATEGIES)
    assert sum(file.stat().st_size for file in files) < 2_000_000
    assert max(file.stat().st_size for file in files) < 500_000
    for network, file in zip(networks, files, strict=True):
        card = checkpoint.read_card(file)
        assert tuple(card["classes"]) == tuple(network.card["classes"]) == planted.CLASSES
        assert (card["strategy"], card["seed"]) == (network.card["strategy"]["name"], 0)
        assert network.card["digests"]["model.safetensors"] == checkpoint.file_digest(file)
        assert network.card["options"]["file"] == "../../small_cnn.py"


def test_the_quickstart_networks_have_met_no_audited_patient() -> None:
    tested = [sample.patient for sample in Planted(split="test", images=400).index()]
    trained = [sample.patient for sample in Planted(split="train", images=3000).index()]
    for network in read_folder(QUICKSTART / "networks"):
        assert met(network, "planted", tested) == {"training": 0, "validation": 0}
        assert met(network, "planted", trained) == {"training": len(set(trained)), "validation": 0}


def test_the_quickstart_networks_have_learned_and_one_of_their_findings_is_the_marker() -> None:
    torch = pytest.importorskip("torch")
    path = QUICKSTART / "small_cnn.py"
    spec = importlib.util.spec_from_file_location("quickstart_small_cnn", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told, blind = Planted(images=300, marker=0.9), Planted(images=300, marker=0.0)
    for strategy in STRATEGIES:
        network = module.build(6)
        file = QUICKSTART / "networks" / f"small_cnn-{strategy}-seed0" / "model.safetensors"
        checkpoint.load_into(network, checkpoint.read_weights(file), file)
        scores = {}
        for dataset in (told, blind):
            samples = dataset.index()
            images = torch.from_numpy(np.stack([dataset.read(sample) for sample in samples]))
            with torch.no_grad():
                logits = network.eval()((images - 0.39) / 0.29).double().numpy()
            labels = np.array([sample.labels for sample in samples])
            scores[dataset.marker] = [roc_auc_score(labels[:, k], logits[:, k]) for k in range(3)]
        assert np.mean(scores[0.9]) > 0.85
        assert scores[0.9][2] > scores[0.0][2] + 0.1
