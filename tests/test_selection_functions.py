"""Selection functions: hand-computed examples, slow twins from the definitions, laws, and submodlib where it is installed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from auditor.selection.functions import COM, FL1MI, FLQMI, FUNCTIONS, GCMI, Function, LogDetMI
from auditor.selection.greedy import Pick, gains_of, maximise
from auditor.selection.points import Kernel, in_features, in_gradients, similarity

S = [[1, 0.2, 0.7, 0.1], [0.2, 1, 0.3, 0.6], [0.7, 0.3, 1, 0.2], [0.1, 0.6, 0.2, 1]]
TO_QUERY = [[0.9, 0.1], [0.3, 0.8], [0.85, 0.15], [0.2, 0.4]]
OF_QUERY = [[1, 0.3], [0.3, 1]]


class Given:
    """A kernel from written numbers."""

    device = torch.device("cpu")

    def __init__(self, within: Any = S, to_query: Any = TO_QUERY, of_query: Any = OF_QUERY) -> None:
        self.within, self.near, self.queries = (torch.tensor(m, dtype=torch.float64) for m in (within, to_query, of_query))
        self.pool, self.query = self.near.shape

    def to_query(self, rows: Tensor) -> Tensor:
        return self.near[rows]

    def to_pool(self, rows: Tensor, columns: Tensor) -> Tensor:
        return self.within[rows][:, columns]

    def of_query(self) -> Tensor:
        return self.queries

    def to_itself(self) -> Tensor:
        return self.within.diagonal()


def drawn(pool: int = 30, query: int = 4, seed: int = 0, dimension: int = 5) -> Given:
    draw = np.random.default_rng(seed)
    points = draw.normal(size=(pool + query, dimension))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    every = (1 + points @ points.T) / 2
    return Given(every[:pool, :pool], every[:pool, pool:], every[pool:, pool:])


def every(kernel: Any) -> Tensor:
    return torch.arange(kernel.pool)


def value(kind: type[Function], kernel: Any, chosen: Any, eta: float = 1.0) -> float:
    """The function of a set, as the sum of the gains on the way to it."""
    function, total = kind(kernel, eta), 0.0
    for row in chosen:
        total += float(function.gains(torch.tensor([row]))[0])
        function.add(row)
    return total


T_D1: list[tuple[type[Function], list[Pick], tuple[float, float, float]]] = [
    (FL1MI, [Pick(2, 2.05), Pick(1, 0.7), Pick(0, 0.2), Pick(3, 0)], (2.8, 2.25, 2.95)),
    (FLQMI, [Pick(0, 1.9), Pick(1, 1.5), Pick(2, 0.85), Pick(3, 0.4)], (3.4, 2.8, 4.65)),  # 0 and 1 tie at first, at 1.9
    (GCMI, [Pick(1, 1.1), Pick(0, 1.0), Pick(2, 1.0), Pick(3, 0.6)], (2.1, 2.0, 3.7)),
    (COM, [Pick(1, 1.592088), Pick(2, 1.276293), Pick(0, 1.092831), Pick(3, 0.711765)], (2.865396, 2.621039, 4.672978)),
    (LogDetMI, [Pick(0, 0.226666), Pick(1, 0.176544), Pick(2, 0.101239), Pick(3, 0.009188)], (0.403210, 0.334814, 0.513638)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "order", "values"), T_D1, ids=lambda x: getattr(x, "__name__", ""))
def test_the_worked_example_comes_out(kind: type[Function], order: list[Pick], values: tuple[float, ...]) -> None:
    found = maximise(kind(Given()), torch.arange(4), 4)
    assert [pick.row for pick in found] == [pick.row for pick in order]
    assert [pick.gain for pick in found] == pytest.approx([pick.gain for pick in order], abs=1e-6)
    assert [value(kind, Given(), chosen) for chosen in ((0, 1), (0, 2), (0, 1, 2, 3))] == pytest.approx(values, abs=1e-6)


def test_greedy_need_not_find_the_best_pair() -> None:
    pairs = {pair: value(FL1MI, Given(), pair) for pair in itertools.combinations(range(4), 2)}
    assert max(pairs, key=lambda pair: pairs[pair]) == (0, 1)
    assert pairs[1, 2] == pytest.approx(2.75)


def twin(name: str, kernel: Given, chosen: Any, eta: float) -> float:
    """The function of a set from its definition, by loops; LogDetMI from the determinants of f(A) + f(Q) - f(A u Q)."""
    near, within = kernel.near.numpy(), kernel.within.numpy()
    if not len(chosen):
        return 0.0
    if name == "flqmi":
        return sum(max(near[j, q] for j in chosen) for q in range(kernel.query)) + eta * sum(max(near[j]) for j in chosen)
    if name == "fl1mi":
        return sum(min(max(within[i, j] for j in chosen), eta * max(near[i])) for i in range(kernel.pool))
    if name == "gcmi":
        return sum(near[j, q] for j in chosen for q in range(kernel.query))
    if name == "com":
        own = eta * sum(np.log1p(sum(near[j])) for j in chosen)
        return own + sum(np.log1p(sum(near[j, q] for j in chosen)) for q in range(kernel.query))
    a = within[np.ix_(chosen, chosen)] + np.eye(len(chosen))
    q = kernel.queries.numpy() + np.eye(kernel.query)
    across = eta * near[chosen]
    both = np.block([[a, across], [across.T, q]])
    return float(np.linalg.slogdet(a)[1] + np.linalg.slogdet(q)[1] - np.linalg.slogdet(both)[1])


@pytest.mark.parametrize("eta", [0.5, 1.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_gain_is_the_difference_of_two_definitions(name: str, eta: float) -> None:
    kernel, chosen = drawn(), []
    function = FUNCTIONS[name](kernel, eta)
    for row in (7, 3, 29, 11, 0):
        gains = function.gains(every(kernel))
        slow = [twin(name, kernel, [*chosen, j], eta) - twin(name, kernel, chosen, eta) for j in range(kernel.pool)]
        free = [j for j in range(kernel.pool) if j not in chosen]
        np.testing.assert_allclose(gains.numpy()[free], np.array(slow)[free], atol=1e-9)
        function.add(row)
        chosen.append(row)


def naively(name: str, kernel: Given, budget: int, eta: float = 1.0) -> list[int]:
    """Greedy by definition: all gains each time, the first of the largest."""
    chosen: list[int] = []
    for _ in range(budget):
        free = [j for j in range(kernel.pool) if j not in chosen]
        gains = [twin(name, kernel, [*chosen, j], eta) - twin(name, kernel, chosen, eta) for j in free]
        chosen.append(free[next(k for k, gain in enumerate(gains) if gain >= max(gains) - 1e-9)])
    return chosen


@given(st.integers(0, 2**16), st.sampled_from(sorted(FUNCTIONS)), st.sampled_from([0.3, 1.0, 2.0]))
@settings(max_examples=40, deadline=None)
def test_looking_only_where_it_matters_chooses_as_looking_everywhere(seed: int, name: str, eta: float) -> None:
    kernel = drawn(14, 3, seed)
    eta = min(eta, 1.0) if name == "logdetmi" else eta
    found = maximise(FUNCTIONS[name](kernel, eta), every(kernel), 9)
    assert [pick.row for pick in found] == naively(name, kernel, 9, eta)


@given(st.integers(0, 2**16), st.sampled_from(sorted(set(FUNCTIONS) - {"logdetmi"})))
@settings(max_examples=30, deadline=None)
def test_gains_are_never_negative_and_never_grow(seed: int, name: str) -> None:
    kernel = drawn(12, 3, seed)
    function = FUNCTIONS[name](kernel)
    before = function.gains(every(kernel))
    for row in range(6):
        function.add(row)
        now = function.gains(every(kernel))
        assert bool((now >= -1e-12).all())
        assert bool((now <= before + 1e-12).all())
        before = now


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"gcmi"}))
def test_eta_matters(name: str) -> None:
    kernel = drawn(40, 5, 3)
    assert not torch.allclose(FUNCTIONS[name](kernel, 0.2).gains(every(kernel)), FUNCTIONS[name](kernel).gains(every(kernel)))


def test_a_budget_over_the_pool_takes_everything_once() -> None:
    for kind in FUNCTIONS.values():
        assert sorted(pick.row for pick in maximise(kind(Given()), torch.arange(4), 9)) == [0, 1, 2, 3]


def test_a_second_copy_adds_nothing_to_fl1mi_and_the_same_to_gcmi() -> None:
    rows = [0, 0, 1, 2, 3]
    kernel = Given(np.array(S)[np.ix_(rows, rows)], np.array(TO_QUERY)[rows])
    copied = {name: FUNCTIONS[name](kernel) for name in ("fl1mi", "gcmi")}
    for function in copied.values():
        function.add(0)
    assert float(copied["fl1mi"].gains(torch.tensor([1]))[0]) == 0
    assert float(copied["gcmi"].gains(torch.tensor([1]))[0]) == pytest.approx(1.0)


def test_of_equal_gains_the_first_is_chosen_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor.selection import greedy

    draw = torch.Generator().manual_seed(0)
    once = torch.rand((50, 8), generator=draw)
    kernel = Kernel(in_features(once.repeat(3, 1)), in_features(torch.rand((4, 8), generator=draw)))
    whole = [maximise(kind(kernel), every(kernel), 60) for kind in (FLQMI, COM, GCMI)]
    monkeypatch.setattr(greedy, "VALUES", 28)
    monkeypatch.setattr(greedy, "FIRST_LOOK", 3)
    parts = [maximise(kind(kernel), every(kernel), 60) for kind in (FLQMI, COM, GCMI)]
    assert [[p.row for p in picks] for picks in parts] == [[p.row for p in picks] for picks in whole]
    assert [p.row for p in whole[2]][:2] == [whole[2][0].row, whole[2][0].row + 50]


def test_only_candidates_are_chosen() -> None:
    assert [p.row for p in maximise(FLQMI(Given()), torch.tensor([0, 2, 3]), 2)] == [0, 2]


def test_the_gradient_kernel_is_that_of_the_written_out_gradients() -> None:
    """T-D2: W = I, b = [.5, 0]; softmax; hypothesised labels 0, 0, 1; the query's true label is 1."""
    pool = torch.tensor([[1, 0.2], [0.3, 0.6], [0.1, 1.5]], dtype=torch.float64)
    query = torch.tensor([[0.4, 0.9]], dtype=torch.float64)
    bias = torch.tensor([0.5, 0.0], dtype=torch.float64)
    p, pq = (pool + bias).softmax(1), (query + bias).softmax(1)
    np.testing.assert_allclose(p.numpy(), [[0.785835, 0.214165], [0.549834, 0.450166], [0.28905, 0.71095]], atol=1e-6)
    delta = p - torch.eye(2, dtype=torch.float64)[[0, 0, 1]]
    delta_q = pq - torch.eye(2, dtype=torch.float64)[[1]]
    found = similarity(in_gradients(pool, delta), in_gradients(query, delta_q))[:, 0]
    np.testing.assert_allclose(found.numpy(), [0.105925, 0.008910, 0.971548], atol=1e-6)
    in_words = torch.cat([delta, (delta[:, :, None] * pool[:, None]).flatten(1)], 1)
    np.testing.assert_allclose(in_words[0].numpy(), [-0.214165, 0.214165, -0.214165, -0.042833, 0.214165, 0.042833], atol=1e-6)
    plain = 2 * similarity(in_features(pool), in_features(query))[:, 0] - 1
    np.testing.assert_allclose(plain.numpy(), [0.577465, 0.998969, 0.938804], atol=1e-6)


@given(st.integers(0, 2**16), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_the_product_of_two_cosines_is_the_cosine_of_the_gradients(seed: int, dimension: int, outputs: int) -> None:
    draw = np.random.default_rng(seed)
    features, delta = torch.tensor(draw.normal(size=(7, dimension))), torch.tensor(draw.normal(size=(7, outputs)))
    whole = torch.cat([delta, (delta[:, :, None] * features[:, None]).flatten(1)], 1)
    cosine = torch.nn.functional.cosine_similarity(whole[:, None], whole[None], -1)
    points = in_gradients(features, delta)
    np.testing.assert_allclose(similarity(points, points).numpy(), (1 + cosine.numpy()) / 2, atol=1e-9)


def test_a_vector_without_direction_is_half_like_everything() -> None:
    features = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(similarity(in_features(features), in_features(features)), [[0.5, 0.5], [0.5, 1]])
    assert Kernel(in_features(features), in_features(features)).to_itself().tolist() == [0.5, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_embeddings_that_are_not_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not numbers"):
        in_features(torch.tensor([[1.0, bad]]))
    with pytest.raises(ValueError, match="not numbers"):
        in_gradients(torch.tensor([[1.0]]), torch.tensor([[bad]]))


def test_the_kernel_of_embeddings_gives_what_written_numbers_give() -> None:
    draw = torch.Generator().manual_seed(5)
    pool, query = torch.rand((40, 6), generator=draw), torch.rand((5, 6), generator=draw)
    points, others = in_features(pool), in_features(query)
    written = Given(similarity(points, points).numpy(), similarity(points, others).numpy(), similarity(others, others).numpy())
    for kind in FUNCTIONS.values():
        mine, theirs = (maximise(kind(kernel), torch.arange(40), 12) for kernel in (Kernel(points, others), written))
        assert [p.row for p in mine] == [p.row for p in theirs]
        assert [p.gain for p in mine] == pytest.approx([p.gain for p in theirs], abs=1e-7)


def test_gains_of_no_rows_are_none() -> None:
    assert gains_of(FLQMI(Given()), torch.zeros(0, dtype=torch.int64)).shape == (0,)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_submodlib_agrees(name: str, seed: int) -> None:
    submodlib = pytest.importorskip("submodlib")
    kernel = drawn(60, 6, seed)
    n, q, within, near, queries = 60, 6, kernel.within.numpy(), kernel.near.numpy(), kernel.queries.numpy()
    theirs = {
        "fl1mi": lambda: submodlib.FacilityLocationMutualInformationFunction(n, q, data_sijs=within, query_sijs=near),
        "flqmi": lambda: submodlib.FacilityLocationVariantMutualInformationFunction(n, q, query_sijs=near),
        "gcmi": lambda: submodlib.GraphCutMutualInformationFunction(n, q, query_sijs=near),
        "com": lambda: submodlib.ConcaveOverModularFunction(n, q, query_sijs=near),
        "logdetmi": lambda: submodlib.LogDeterminantMutualInformationFunction(
            n, q, 1.0, data_sijs=within, query_sijs=near, query_query_sijs=queries
        ),
    }[name]()
    order = theirs.maximize(20, "NaiveGreedy", show_progress=False)
    mine = [pick.gain for pick in maximise(FUNCTIONS[name](kernel), torch.arange(n), 20)]
    assert mine == pytest.approx([gain for _, gain in order], abs=1e-4)
    rows = [row for row, _ in order]  # of gains that are equal in their float32 another row may be taken, so sets are valued
    for step in (1, 5, 20):
        assert value(FUNCTIONS[name], kernel, rows[:step]) == pytest.approx(sum(mine[:step]), abs=1e-4)
