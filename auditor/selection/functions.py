"""Submodular mutual information: how much a set of pool images has in common with the query.

I_f(A; Q) = f(A) + f(Q) - f(A u Q). Each function holds what the images chosen so far have covered, says what any others would
add (`gains`, which changes nothing), and takes one in (`add`). Kernels are given in blocks of rows and lie in 0..1.

Sources: Iyer et al., Submodular combinatorial information measures (ALT 2021); Kothawade et al., SIMILAR (NeurIPS 2021), PRISM
(AAAI 2022), CLINICAL (2022). With A the chosen, s the similarity, U the pool and Q the query:

* FLQMI     sum over q of max over A of s(j, q) + eta * sum over A of max over q of s(j, q)
* FL1MI     sum over i in U of min(max over A of s(i, j), eta * max over q of s(i, q))
* GCMI      sum over A and q of s(j, q)
* COM       eta * sum over A of log(1 + sum over q of s(j, q)) + sum over q of log(1 + sum over A of s(j, q))
* LogDetMI  log det S_A - log det(S_A - eta^2 S_AQ S_Q^-1 S_QA), 1 added to the diagonals of S_A and S_Q
"""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from .points import parts

REPRESENTED = 4096
"""FL1MI is a sum over the pool of what represents each image; beyond so many it is a sum over a sample of them."""
LEAST = 1e-12
"""A determinant's next factor is not less than this, however alike two images are."""


class Similar(Protocol):
    """What functions ask of a kernel, see `points.Kernel`."""

    pool: int
    query: int
    device: torch.device

    def to_query(self, rows: Tensor) -> Tensor: ...
    def to_pool(self, rows: Tensor, columns: Tensor) -> Tensor: ...
    def of_query(self) -> Tensor: ...
    def to_itself(self) -> Tensor: ...


class Function(Protocol):
    """A set function on its way: `submodular` promises that no gain grows as others are added, `columns` is how many values it looks
    at for each row."""

    submodular: ClassVar[bool]
    columns: int

    def __init__(self, kernel: Similar, eta: float = 1.0) -> None: ...

    def gains(self, rows: Tensor) -> Tensor:
        """What each of these pool images would add to the chosen ones [m], float64."""

    def add(self, row: int) -> None:
        """Choose a pool image."""


class _OfQuery:
    """What the functions share that look at the similarities to the query alone."""

    submodular: ClassVar[bool] = True

    def __init__(self, kernel: Similar, eta: float = 1.0) -> None:
        self.kernel, self.eta, self.columns = kernel, eta, kernel.query
        self.so_far = torch.zeros((), device=kernel.device)

    def _near(self, row: int) -> Tensor:
        return self.kernel.to_query(torch.tensor([row], device=self.kernel.device))[0]


class FLQMI(_OfQuery):
    """Facility location over the query: every query image is represented, and every chosen image is near some of them."""

    def gains(self, rows: Tensor) -> Tensor:
        near = self.kernel.to_query(rows)
        return (near - self.so_far).clamp_(min=0).sum(1, dtype=torch.float64) + self.eta * near.amax(1)

    def add(self, row: int) -> None:
        self.so_far = torch.maximum(self.so_far, self._near(row))


class GCMI(_OfQuery):
    """Graph cut: the sum of all similarities to the query. Pure retrieval; eta changes nothing, and neither does what is chosen."""

    def gains(self, rows: Tensor) -> Tensor:
        return self.kernel.to_query(rows).sum(1, dtype=torch.float64)

    def add(self, row: int) -> None:
        """Nothing to remember: the gains do not depend on what is chosen."""


class COM(_OfQuery):
    """Concave over modular, with log(1 + x): each query image is worth less the more it has been matched."""

    def gains(self, rows: Tensor) -> Tensor:
        near = self.kernel.to_query(rows).double()
        return self.eta * near.sum(1).log1p() + ((self.so_far + near).log1p() - self.so_far.log1p()).sum(1)

    def add(self, row: int) -> None:
        self.so_far = self.so_far + self._near(row).double()


class FL1MI:
    """Facility location over the pool: represent it, but each image only as far as it is near the query. Saturates."""

    submodular: ClassVar[bool] = True

    def __init__(self, kernel: Similar, eta: float = 1.0, represented: Tensor | None = None) -> None:
        self.kernel = kernel
        self.represented = torch.arange(kernel.pool, device=kernel.device) if represented is None else represented
        self.columns = len(self.represented)
        self.cap = eta * torch.cat([kernel.to_query(part).amax(1) for part in parts(self.represented, REPRESENTED)])
        self.so_far = torch.zeros_like(self.cap)

    def gains(self, rows: Tensor) -> Tensor:
        near = self.kernel.to_pool(rows, self.represented)
        return (torch.maximum(self.so_far, near).minimum(self.cap) - self.so_far.minimum(self.cap)).sum(1, dtype=torch.float64)

    def add(self, row: int) -> None:
        near = self.kernel.to_pool(torch.tensor([row], device=self.kernel.device), self.represented)[0]
        self.so_far = torch.maximum(self.so_far, near)


class LogDetMI:
    """Log determinants: images that are like the query and unlike each other. Not submodular in general, so never lazily greedy.

    Two Cholesky factorisations grow by a row with every image chosen: of S_A, and of S_A given the query.
    """

    submodular: ClassVar[bool] = False

    def __init__(self, kernel: Similar, eta: float = 1.0) -> None:
        self.kernel, self.columns = kernel, 1
        ridge = torch.eye(kernel.query, dtype=torch.float64, device=kernel.device)
        factor = torch.linalg.cholesky(kernel.of_query().double() + ridge)
        every = torch.arange(kernel.pool, device=kernel.device)
        told = [eta * kernel.to_query(part).double().T for part in parts(every, REPRESENTED)]
        self.told = torch.cat([torch.linalg.solve_triangular(factor, part, upper=False) for part in told], 1)
        self.alone = kernel.to_itself() + 1
        self.given = self.alone - self.told.square().sum(0)
        self._factor = (_Factor(), _Factor())

    def gains(self, rows: Tensor) -> Tensor:
        return self.alone[rows].clamp(min=LEAST).log() - self.given[rows].clamp(min=LEAST).log()

    def add(self, row: int) -> None:
        every = torch.arange(self.kernel.pool, device=self.kernel.device)
        like = torch.cat([self.kernel.to_pool(every[row : row + 1], part)[0] for part in parts(every, REPRESENTED)]).double()
        like[row] += 1
        self.alone = self.alone - self._factor[0].append(row, like, self.alone[row])
        self.given = self.given - self._factor[1].append(row, like - self.told[:, row] @ self.told, self.given[row])


class _Factor:
    """The rows [t, n] of a Cholesky factor that grows."""

    def __init__(self) -> None:
        self._rows: Tensor | None = None
        self._count = 0

    def append(self, row: int, covariance: Tensor, variance: Tensor) -> Tensor:
        """Take in a pool image; its covariance with all of them [n] given, gives what the variances lose [n]."""
        rows = self._with_room(covariance)
        before = rows[: self._count]
        rows[self._count] = (covariance - before[:, row] @ before) / variance.clamp(min=LEAST).sqrt()
        self._count += 1
        return rows[self._count - 1].square()

    def _with_room(self, like: Tensor) -> Tensor:
        if self._rows is None:
            self._rows = like.new_empty((16, len(like)))
        elif self._count == len(self._rows):
            self._rows = torch.cat([self._rows, torch.empty_like(self._rows)])
        return self._rows


FUNCTIONS: MappingProxyType[str, type[Function]] = MappingProxyType(
    {"flqmi": FLQMI, "logdetmi": LogDetMI, "gcmi": GCMI, "fl1mi": FL1MI, "com": COM}
)
