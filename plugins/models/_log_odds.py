"""From stated scores to log-odds, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CERTAIN = 746.0  # just beyond log(5e-324) = -744.4, the log-odds of the smallest probability there is above 0


def from_probabilities(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log(p) - log(1 - p) of every column of [N, K]: finite, and ranked exactly as p with the same ties.

    0 and 1 become -746 and 746, beyond what any other float64 gives, and the sigmoid takes them back to exactly 0 and 1.
    Where rounding would tie two different probabilities, the greater is raised to the next float64.
    """
    import numpy as np

    odds = np.empty_like(values)
    for column in range(values.shape[1]):
        distinct, place = np.unique(values[:, column], return_inverse=True)
        with np.errstate(divide="ignore"):
            rising = np.clip(np.log(distinct) - np.log1p(-distinct), -CERTAIN, CERTAIN)
        for late in np.nonzero(np.diff(rising) <= 0)[0] + 1:
            step = int(late)
            while step < len(rising) and rising[step] <= rising[step - 1]:
                rising[step] = np.nextafter(rising[step - 1], np.inf)
                step += 1
        odds[:, column] = rising[place]
    return odds


def beyond_the_others(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """z_k - log(sum over j != k of exp(z_j)) of every row of [N, K], K > 1: the log-odds of a softmax head."""
    import numpy as np

    odds = np.empty_like(values)
    for column in range(values.shape[1]):
        others = np.delete(values, column, axis=1)
        top = others.max(axis=1)
        odds[:, column] = values[:, column] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
    return odds
