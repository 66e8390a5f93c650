"""A network's outputs are the data set's classes by name: which of them has no output, and whose line is to blame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .errors import among, closest, listed


class Unmatched(NamedTuple):
    """What is wrong with the names of outputs; `at` is the number of the output that is to blame, None for all together."""

    at: int | None
    message: str

    @property
    def option(self) -> str:
        """The option that names it: `classes`, or `classes[2]`."""
        return "classes" if self.at is None else f"classes[{self.at}]"


def nameless(classes: Sequence[str]) -> str:
    """What to say where neither audit.yaml nor the checkpoint names the outputs."""
    return f"classes: the outputs have no names; add classes: [{', '.join(classes)}] in the order of the network's outputs"


def unmatched(classes: Sequence[str], outputs: Sequence[str]) -> Iterator[Unmatched]:
    """Every output that is named twice, and every class that no output is named after.

    Where an output that is no class looks like a class that has none, the output is misspelt: the data set has its names from its
    tables, the outputs have theirs from whoever wrote them down.
    """
    for name in sorted({name for name in outputs if outputs.count(name) > 1}):
        yield Unmatched(None, f"found {name!r} more than once; allowed: each output once")
    spare = [name for name in outputs if name not in classes]
    without: list[str] = []
    for name in [name for name in classes if name not in outputs]:
        near = closest(name, spare)
        if near is None:
            without.append(name)
        else:
            spare.remove(near)
            found = (
                f"found {near!r}, and no output called {name!r}; allowed: the classes of the data set, {listed(name, classes)}"
            )
            yield Unmatched(list(outputs).index(near), f"{found}; did you mean {name}?")
    if without:
        there = among(without[0], outputs) if len(without) == 1 else listed(without[0], outputs)
        yield Unmatched(None, f"found no output called {listed('', map(repr, without))}; the outputs are {there}")
