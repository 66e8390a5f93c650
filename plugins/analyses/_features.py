"""From the embeddings of all images to the numbers of every class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor import latent
from auditor.embedded import Concluded, Decision, Embedded

if TYPE_CHECKING:
    import numpy.typing as npt

    from .embeddings import Embeddings

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

NEIGHBOURS = 5
PARTNERS = 1000
"""How many images of a class every image of it is held against."""


@dataclass(frozen=True)
class Seen:
    """One split with what the last layer makes of it: `positives` and `recognised` are, per class, numbers of images."""

    split: Embedded
    outputs: Floats
    positives: list[Integers]
    recognised: list[Integers]


@dataclass(frozen=True)
class Carried:
    """What a class is told by: its mean evidence [d], and the numbers of its strongest and of its most active features."""

    mean: Floats
    features: Integers
    activations: Integers
    shares: Floats


def conclude(options: Embeddings, decision: Decision, audited: Embedded, training: Embedded | None) -> Concluded:
    """Columns for both splits and a profile for every class that has an image to find its features on."""
    splits = [seen(options, decision, split) for split in (audited, training) if split is not None]
    columns = [{m.name: np.full(s.split.labels.shape, np.nan) for m in options.metrics if m.per_case} for s in splits]
    among = around(options, audited)
    found: dict[int, Carried] = {}
    for number in range(len(decision.classes)):
        carried = strongest(options, decision, splits[-1], number)
        if carried is not None:
            found[number] = carried
        for split, into in zip(splits, columns, strict=True):
            told(options, decision, split, number, carried, {name: column[:, number] for name, column in into.items()})
        placed(splits[0], number, among, {name: column[:, number] for name, column in columns[0].items()})
    profiles = [profile(options, decision, splits, number, found, among) for number in found]
    return Concluded(columns[0], columns[1] if training is not None else {}, profiles)


def seen(options: Embeddings, decision: Decision, split: Embedded) -> Seen:
    """Outputs, and which images show and which are given every class."""
    outputs = split.vectors.astype(np.float64) @ decision.weight.T + decision.bias
    bar = outputs.max(1)[:, None] if decision.softmax else bar_of(options)
    positives = [np.flatnonzero(split.labels[:, k] == 1) for k in range(len(decision.classes))]
    recognised = [rows[(outputs >= bar)[rows, k]] for k, rows in enumerate(positives)]
    return Seen(split, outputs, positives, recognised)


def bar_of(options: Embeddings) -> float:
    """The log-odds of the threshold."""
    return math.log(options.threshold / (1 - options.threshold))


def evidence(decision: Decision, split: Embedded, rows: Integers, number: int) -> Floats:
    """What every feature says for a class on these images [n, d]."""
    return np.asarray(split.vectors[rows].astype(np.float64) * decision.weight[number])


def strongest(options: Embeddings, decision: Decision, side: Seen, number: int) -> Carried | None:
    """The features of a class, from the images with it; None where there is no such image."""
    rows = (side.positives if options.of == "positives" else side.recognised)[number]
    if not len(rows):
        return None
    mean = evidence(decision, side.split, rows, number).mean(0)
    active = side.split.vectors[side.positives[number]].astype(np.float64).mean(0)
    activations = latent.strongest(active, options.top)
    total = math.fsum(active[activations])
    shares = active[activations] / total if total > 0 else np.zeros(len(activations))
    return Carried(mean, latent.strongest(mean, options.top), activations, shares)


def told(
    options: Embeddings, decision: Decision, side: Seen, number: int, carried: Carried | None, into: Mapping[str, Floats]
) -> None:
    """Fill in what a class's features do on the images with it."""
    rows, known = side.positives[number], np.isin(side.positives[number], side.recognised[number])
    into["recognised"][rows] = known
    for name, part in (("features_needed", rows[known]), ("features_needed_missed", rows[~known])):
        into[name][part] = decided(options, decision, side, number, part, name == "features_needed").number
    if carried is None:
        return
    each = evidence(decision, side.split, rows, number)
    into["top_sum"][rows] = each[:, carried.features].sum(1)
    into["top_evidence"][rows] = each[:, carried.features].mean(1)
    into["carried"][rows] = each[:, carried.mean > 0].sum(1)
    into["top_activation"][rows] = side.split.vectors[rows][:, carried.activations].mean(1)
    for name in ("top_evidence", "top_activation"):
        into[f"{name}_recognised"][rows[known]] = into[name][rows[known]]
    into["top_evidence_missed"][rows[~known]] = into["top_evidence"][rows[~known]]


def decided(options: Embeddings, decision: Decision, side: Seen, number: int, rows: Integers, won: bool) -> latent.Needed:
    """How many features the decision on these images needed: to give the class or, where it was missed, to deny it.

    With a softmax head a missed image was given another class: what counts is how many features that took.
    """
    if not decision.softmax:
        each = evidence(decision, side.split, rows, number)
        count = latent.needed if won else latent.needed_against
        return count(each, decision.bias[number], bar_of(options))
    chosen = side.outputs[rows].argmax(1)
    rivals = np.sort(side.outputs[rows], 1)[:, -2] if side.outputs.shape[1] > 1 else np.zeros(len(rows))
    each = side.split.vectors[rows].astype(np.float64) * decision.weight[chosen]
    return latent.needed(each, decision.bias[chosen], rivals)


@dataclass(frozen=True)
class Around:
    """The nearest audited images, of other patients, of every image that shows a finding [n, 5] (-1: none), how far any two images lie
    apart on average, and which features are among each image's largest [n, d]."""

    near: Integers
    apart: float
    largest: npt.NDArray[np.bool_]


def around(options: Embeddings, audited: Embedded) -> Around:
    """Neighbours are looked for among a fixed draw of the audited images."""
    every = np.arange(len(audited.vectors))
    pool, rows = audited.some(every, options.pool), np.flatnonzero((audited.labels == 1).any(1))
    found = latent.nearest(
        audited.vectors[rows], audited.patients[rows], audited.vectors[pool], audited.patients[pool], NEIGHBOURS
    )
    near = np.full((len(every), NEIGHBOURS), -1, np.int64)
    near[rows] = np.where(found >= 0, pool[found], -1)
    away = distances(audited, audited.some(every, PARTNERS), every)
    known = away[~np.isnan(away)]
    return Around(near, float(known.mean()) if len(known) else 0.0, latent.largest(audited.vectors, options.top))


def distances(split: Embedded, rows: Integers, among: Integers) -> Floats:
    """Each image's mean distance to a fixed draw of others, its own patient's left out."""
    partners = split.some(among, PARTNERS)
    return latent.mean_distances(split.vectors[rows], split.patients[rows], split.vectors[partners], split.patients[partners])


def placed(side: Seen, number: int, among: Around, into: Mapping[str, Floats]) -> None:
    """Fill in how the audited images with a class lie among the others."""
    split, rows = side.split, side.positives[number]
    near = among.near[rows]
    full = (near >= 0).all(1)
    alike = (split.labels[near, number] == 1).sum(1)
    into["neighbours_alike"][rows[full]] = alike[full] / NEIGHBOURS
    for kind, which in latent.archetypes(alike).items():
        into[f"archetype_{kind}"][rows[full]] = which[full]
    if among.apart > 0:
        into["distance_to_class"][rows] = distances(split, rows, rows) / among.apart


def profile(
    options: Embeddings, decision: Decision, splits: list[Seen], number: int, found: Mapping[int, Carried], among: Around
) -> dict[str, Any]:
    """What cannot be said in one number of a class."""
    carried, audited = found[number], splits[0]
    training = splits[1] if len(splits) > 1 else None
    parts = latent.share(carried.mean, carried.features)
    used = decided(options, decision, audited, number, audited.recognised[number], True).used
    often = used.mean(0) if len(used) else None
    common = max(found, key=lambda k: (len(audited.positives[k]), -k))
    count = min([options.rank_images, *(len(s.positives[number]) for s in splits)])
    return {
        "class_name": decision.classes[number], "chosen_on": "audited" if training is None else "training",
        "n_audited": len(audited.positives[number]), "n_training": None if training is None else len(training.positives[number]),
        "features": carried.features.tolist(),
        "magnitude_audited": _magnitude(decision, audited, number, carried),
        "magnitude_training": None if training is None else _magnitude(decision, training, number, carried),
        "retained": None if training is None else _retained(decision, audited, training, number, carried),
        "frequency": None if often is None else often[carried.features].tolist(),
        "frequent": None if often is None else int((often >= options.frequent).sum()),
        "ever": None if often is None else int((often > 0).sum()),
        "share_of_all": parts.of_all, "share_of_positive": parts.of_positive,
        "activations": carried.activations.tolist(), "activation_shares": carried.shares.tolist(),
        "density_of": decision.classes[common], **_density(audited, number, common, found[common], among),
        "rank_audited": _rank(audited.split, audited.positives[number], count),
        "rank_of_any": _rank(audited.split, np.arange(len(audited.split.vectors)), count),
        "rank_training": None if training is None else _rank(training.split, training.positives[number], count),
        "rank_n": count, "adversaries": _adversaries(decision, audited, number, among),
    }  # fmt: skip


def _magnitude(decision: Decision, side: Seen, number: int, carried: Carried) -> list[float] | None:
    rows = side.positives[number]
    return evidence(decision, side.split, rows, number)[:, carried.features].mean(0).tolist() if len(rows) else None


def _retained(decision: Decision, audited: Seen, training: Seen, number: int, carried: Carried) -> list[list[float] | None]:
    """For each of the strongest features what is left of its evidence on audited images."""
    sides = [
        (evidence(decision, side.split, rows, number)[:, carried.features], side.split.patients[rows])
        for side in (audited, training)
        for rows in [side.positives[number]]
    ]
    (now, patients), (then, owners) = sides
    found = [latent.left(a, patients, t, owners) for a, t in zip(now.T, then.T, strict=True)] if len(now) else []
    return [None if one is None else list(one) for one in found]


def _density(side: Seen, number: int, common: int, reference: Carried, among: Around) -> dict[str, Any]:
    """How often the most active features of the most common class are among an image's own, relative to that class."""
    rows = side.positives[number], side.positives[common]
    counts = [among.largest[of][:, reference.activations].sum(0) for of in rows]
    shares = [(int(a), int(b)) for a, b in zip(*counts, strict=True)]
    sizes = max(len(rows[0]), 1), max(len(rows[1]), 1)
    return {
        "density": [a / sizes[0] / (b / sizes[1]) if b else None for a, b in shares],
        "density_counts": shares,
    }


def _rank(split: Embedded, among: Integers, count: int) -> float | None:
    return latent.effective_rank(split.vectors[split.some(among, count)]) if count > 1 else None


def _adversaries(decision: Decision, side: Seen, number: int, among: Around) -> dict[str, float]:
    """The other classes among the labels of the neighbours of missed images, as shares of these labels."""
    missed = np.setdiff1d(side.positives[number], side.recognised[number])
    near = among.near[missed]
    shown = side.split.labels[near[near >= 0]] == 1
    counts = shown.sum(0).astype(np.float64)
    counts[number] = 0
    total = counts.sum()
    return {name: float(n / total) for name, n in zip(decision.classes, counts, strict=True) if n} if total else {}
