"""A model of which only a table of scores is left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from auditor import ModelRefused, ScoreTable, among, hookimpl, listed
from auditor.checkpoint import file_digest

from ._log_odds import beyond_the_others, from_probabilities
from ._score_table import read_header, read_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Scores(ScoreTable):
    """A table of scores, no network: only analyses that need logits are run.

    Scores per image from a CSV file (.csv or .csv.gz), a row per image and a column per class.

    Columns are found by name: `prefix` + class. `image_column` holds the sample ids; empty means the first column. `values`
    says what the numbers are and has no default, because logits read as probabilities go unnoticed. Where `classes` is
    empty, every column but the image column that begins with `prefix` is a class. `architecture` is the family.
    """

    name: ClassVar[str] = "scores"

    table: Path
    values: Literal["logits", "probabilities"]
    image_column: str = ""
    prefix: str = ""
    architecture: str = "scores"

    def family(self) -> str:
        """The `architecture` option."""
        return self.architecture

    def declared_classes(self) -> tuple[str, ...]:
        """The `classes` option, or the columns that begin with the prefix, without it."""
        if self.classes:
            return self.classes
        header = read_header(self.table)
        others = [column for column in header if column != self._image_column(header)]
        return tuple(column.removeprefix(self.prefix) for column in others if column.startswith(self.prefix))

    def mistakes(self) -> Iterator[str]:
        """A table without a header that can be read, and columns that it does not have."""
        if not self.table.is_file():
            return
        try:
            header = read_header(self.table)
        except ModelRefused as error:
            yield f"table: {error}"
            return
        if self.image_column and self.image_column not in header:
            yield f"image_column: {self._no_column(header, self.image_column)}"
        for place, name in enumerate(self.classes):
            if self.prefix + name not in header:
                yield f"classes[{place}]: {self._no_column(header, self.prefix + name)}"
        if self.prefix and not any(column.startswith(self.prefix) for column in header):
            yield f"prefix: {self.table}:1: no column begins with {self.prefix!r}; there is {listed(self.prefix, header)}"

    def scores(self, ids: Sequence[str]) -> npt.NDArray[np.float64]:
        """Log-odds [N, K] for these sample ids, finite and ranked exactly as in the table; a row of NaN where there is none.

        Probabilities p become log(p) - log(1 - p) in float64, of which 0 and 1 become -746 and 746 (see _log_odds). Logits
        of a sigmoid head are taken as they are; of a softmax head, which must then be given with all its classes, they
        become z_k - log(sum of exp of the others).
        """
        import numpy as np

        header = read_header(self.table)
        columns = tuple(self._place(header, self.prefix + name) for name in self.declared_classes())
        image = header.index(self._image_column(header))
        rows, values = read_table(self.table, file_digest(self.table), image, columns, self.values)
        odds = self._log_odds(values)
        found = np.full((len(ids), len(columns)), np.nan)
        for place, sample in enumerate(ids):
            if (row := rows.get(sample)) is not None:
                found[place] = odds[row]
        return found

    def digest(self) -> str:
        """sha256 of the table and of how it is read."""
        told = [self.name, file_digest(self.table), self.values, self.image_column, self.prefix, self.classes, self.head]
        return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()

    def _log_odds(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self.values == "probabilities":
            return from_probabilities(values)
        if self.head == "sigmoid":
            return values
        if values.shape[1] < 2:
            raise ModelRefused(f"{self.table}: `head: softmax` needs all its classes; found one")
        return beyond_the_others(values)

    def _image_column(self, header: Sequence[str]) -> str:
        return header[self._place(header, self.image_column)] if self.image_column else header[0]

    def _place(self, header: Sequence[str], column: str) -> int:
        if column not in header:
            raise ModelRefused(self._no_column(header, column))
        return header.index(column)

    def _no_column(self, header: Sequence[str], column: str) -> str:
        return f"{self.table}:1: no column {column!r}; there is {among(column, header)}"


@hookimpl
def register_models() -> list[type]:
    """The loader of this file."""
    return [Scores]
