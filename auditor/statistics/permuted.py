"""How much more a map knows of its own boxes than of other patients' boxes of the same class, or how many more concepts it has there.

S_ij is the score of the map of case i with the boxes of case j (CBL, pixel-AUC, pointing game). The excess is

    D = mean_i S_ii - mean over pairs (i, j) of different patients of S_ij,      kappa = D / (1 - that mean),
    lift = log(mean_i S_ii / that mean):

0 for a map that is independent of the box given the class, however well it shows where the class usually sits; a kappa of 1 is ideal. It
is a U-statistic in which a patient counts with its maps (rows) and with its boxes (columns), so the interval leaves out one
patient at a time, rows and columns together. Not all pairs need be known: with a few per row, spread evenly, the mean over
them stands for the mean over all. (The idea of the shuffled AUC in eye tracking, Borji et al., 2013.)
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from .influence import TOO_FEW, Floats, Influence, Integers, jackknife

SMALL = 1e-9
NO_OTHER = "no box of another patient"
NOTHING_TO_GAIN = "the maps score all there is to score with other patients' boxes too"
NOTHING_THERE = "not estimable: nothing, or all there is from one patient, in the patients' own boxes or in the others'"
Permuted = Literal["excess", "kappa", "lift", "others"]
PERMUTED: tuple[str, ...] = get_args(Permuted)


def permuted(statistic: Permuted, own: Floats, crossed: Floats, patient: Integers, columns: Integers) -> Influence | str:
    """The excess, kappa or lift of n cases, or their mean with others, or the reason why there is none.

    `own` [n] is S_ii, `crossed` [n, J] is S_ij with NaN where the box cannot be scored, `patient` [n] and `columns` [J] say
    whose map and whose box it is; pairs of one patient are left out.
    """
    if len(np.unique(patient)) < 2:
        return TOO_FEW
    everyone = np.union1d(patient, columns)
    row, column = np.searchsorted(everyone, patient), np.searchsorted(everyone, columns)
    pairs = (row[:, None] != column[None, :]) & ~np.isnan(crossed)
    scores = np.where(pairs, crossed, 0.0)
    if not pairs.any():
        return NO_OTHER
    size = len(everyone)
    own_sum, own_count = np.bincount(row, own, size), np.bincount(row, minlength=size)
    taken = np.bincount(row, scores.sum(1), size) + np.bincount(column, scores.sum(0), size)
    pairs_taken = np.bincount(row, pairs.sum(1), size) + np.bincount(column, pairs.sum(0), size)

    left = pairs.sum() - pairs_taken
    if (left == 0).any():
        return TOO_FEW
    elsewhere = np.append((scores.sum() - taken) / left, scores.sum() / pairs.sum())
    here = np.append((own.sum() - own_sum) / (len(own) - own_count), own.mean())
    found = _combined(statistic, here, elsewhere)
    return found if isinstance(found, str) else jackknife(float(found[-1]), everyone, found[:-1], len(own))


def _combined(statistic: Permuted, here: Floats, elsewhere: Floats) -> Floats | str:
    """The statistic from the means in own and in other boxes, both [G + 1]: without each patient, and of all."""
    if statistic == "others":
        return elsewhere
    if statistic == "excess":
        return here - elsewhere
    if statistic == "kappa":
        return NOTHING_TO_GAIN if elsewhere.max() > 1 - SMALL else (here - elsewhere) / (1.0 - elsewhere)
    return NOTHING_THERE if min(here.min(), elsewhere.min()) < SMALL else np.log(here / elsewhere)
