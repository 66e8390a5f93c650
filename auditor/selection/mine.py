"""mine.yaml to a folder with what to label next, as one line of steps."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from .. import __version__
from ..dataset import Dataset, Sample
from ..errors import DatasetError, ExitCode, ModelRefused
from ..identity import digest, identity
from ..ledger import locked
from ..log import written_down
from ..planned_samples import check_samples, listed_samples
from ..problems import Problems
from ..progress import Progress, Silence
from ..trained import met
from ..wording import how_many
from . import written
from .choose import Selection, Wish, choose
from .config import BASELINES, MinePlan
from .embed import Embedded, Embedder, embed
from .opening import needs_gradient, opened, planned
from .query import Head, Seen, Target, target

log = logging.getLogger("auditor")

EMBEDDINGS = Path("arrays") / "embeddings"


class LeftOut(NamedTuple):
    """A pool image that may not be chosen, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Pool:
    """The images to choose from by their rows; listed = those + left out + quarantined."""

    embedded: Embedded
    rows: npt.NDArray[np.int64]
    listed: int
    left_out: tuple[LeftOut, ...]

    @property
    def samples(self) -> list[Sample]:
        """The images to choose from."""
        return [self.embedded.samples[row] for row in self.rows]


@dataclass
class Mined:
    """How a selection ended: a line per class, what was noticed, and the files."""

    lines: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.COMPLETE


def mine(plan: MinePlan, out: Path, device: str = "cpu", progress: Progress | None = None) -> Mined:
    """Choose what to label next; interrupted at any point it can be run again, and what was embedded is not embedded again."""
    with locked(out), written_down(out):
        return _Session(plan, out, device, progress or Silence()).run()


class _Session:
    """The moving parts of one `auditor mine`."""

    def __init__(self, plan: MinePlan, out: Path, device: str, progress: Progress) -> None:
        self.plan, self.out, self.device, self.progress = plan, out, device, progress
        self.result = Mined()
        self.model = planned(plan)
        self._embedder: Embedder | None = None
        self._asked: list[Sample] = []

    def run(self) -> Mined:
        """List, embed, choose, write."""
        for message in self.plan.why:
            self._say(message)
        config = self.plan.config
        asked, labels = self._query()
        listed = _listed(self.plan.pool, config.place("pool"))
        self.progress.start(len(asked) + len(listed), config.title)
        query = self._embed(self.plan.query, asked)
        pool = self._pool(listed, self._embed(self.plan.pool, listed), query)
        self.progress.finish()
        self._check_linear(pool.embedded)
        kept = {sample.id: row for row, sample in enumerate(asked)}
        labels = labels[[kept[sample.id] for sample in query.samples]]
        targets = self._targets(query, labels)
        found, seen = self._choose(pool, query, targets)
        self._write(pool, query, targets, found, seen)
        return self.result

    def _query(self) -> tuple[list[Sample], npt.NDArray[np.int8]]:
        """The labelled images, and their labels in the targeted classes [m, R]."""
        config = self.plan.config
        classes, samples = listed_samples(self.plan.query, config.place("query"))
        problems = Problems()
        check_samples(samples, classes, config.place("query"), problems)
        known = {sample.id for sample in samples}
        for number, name in enumerate(config.query.ids):
            if name not in known:
                problems.add(
                    f"{config.place(f'query.ids[{number}]')}: found {name!r}; allowed: an image of the query's data set"
                )
        problems.stop()
        columns = [classes.index(name) for name in self.plan.classes]
        rows = [[-1 if sample.labels[k] is None else sample.labels[k] for k in columns] for sample in samples]
        self._asked = samples
        return samples, np.array(rows, np.int8).reshape(len(samples), len(columns))

    def _embed(self, dataset: Dataset, samples: Sequence[Sample]) -> Embedded:
        facts = [(s.id, s.version, s.source, s.problem) for s in samples]
        loader, code = self.plan.loader, self.plan.registry.code_digest
        key = digest(
            self.model.digest, identity(loader), code("models", loader.name), self.model.layers.attribution, dataset.name,
            identity(dataset), code("datasets", dataset.name), facts, self.plan.config.batch, self.device, __version__,
        )  # fmt: skip
        lens, folder = self.plan.loader.preprocessing, self.out / EMBEDDINGS / key
        return embed(dataset, samples, self._network, lens, folder, lambda n: self.progress.advance(n, dataset.name))

    def _network(self) -> Embedder:
        if self._embedder is None:
            self._embedder = opened(self.plan, self.model, self._asked, self.device)
        return self._embedder

    def _pool(self, listed: Sequence[Sample], found: Embedded, query: Embedded) -> Pool:
        """Without what is labelled already, or is the same picture as another."""
        first = {mark: f"the same picture as {s.id}, labelled" for mark, s in zip(query.prints, query.samples, strict=True)}
        rows, left_out = [], []
        for row, (sample, mark) in enumerate(zip(found.samples, found.prints, strict=True)):
            if mark in first:
                left_out.append(LeftOut(sample.id, first[mark]))
            else:
                rows.append(row)
                first[mark] = f"the same picture as {sample.id}"
        pool = Pool(found, np.array(rows, np.int64), len(listed), tuple(left_out))
        self._account(pool)
        return pool

    def _account(self, pool: Pool) -> None:
        config, bad = self.plan.config, pool.embedded.quarantined
        self._say(
            f"{how_many(pool.listed, 'image')} listed in the pool: {len(pool.rows)} to choose from, {len(pool.left_out)} left out,"
            f" {len(bad)} quarantined"
        )
        for why, count in Counter(reason for _, reason in bad).most_common():
            self._say(f"{count} quarantined: {why}")
        if pool.left_out:
            self._say(f"left out: {pool.left_out[0].id} is {pool.left_out[0].reason}; all of them are in mine.json")
        if not len(pool.rows):
            raise DatasetError(f"{config.place('pool')}: no image is left to choose from")
        if len(bad) > config.max_quarantine * pool.listed:
            self._say(f"more than a share of {config.max_quarantine:g} of the pool is quarantined (max_quarantine)")
            self.result.exit_code = ExitCode.INCOMPLETE
        if len(pool.rows) < config.budget:
            self._say(
                f"the budget of {config.budget} is over the {how_many(len(pool.rows), 'image')} of the pool: all are chosen, ranked"
            )
        if self.plan.audited and self.plan.audited.config.trained:
            self._say_met(pool.samples)

    def _say_met(self, samples: Iterable[Sample]) -> None:
        assert self.plan.audited is not None
        network = self.plan.audited.config.trained[self.plan.audited.number]
        found = met(network, self.plan.pool.name, {sample.patient for sample in samples})
        if found and found["training"]:
            self._say(f"{found['training']} patients of the pool were among those that the network was trained on")

    def _check_linear(self, found: Embedded) -> None:
        config = self.plan.config
        if (
            not found.linear
            and config.function != "coreset"
            and config.kernel == "gradient"
            and needs_gradient(config.function)
        ):
            way = "kernel: features" if config.function not in BASELINES else "another function"
            raise ModelRefused(
                f"{self.plan.place}: the logits are not the output of a last linear layer, so that features and logits do not give"
                f" the gradient; allowed: {way}"
            )

    def _targets(self, query: Embedded, labels: npt.NDArray[np.int8]) -> list[Target]:
        config, seen = self.plan.config, self._seen(query.features, query.logits)
        rows = {sample.id: row for row, sample in enumerate(query.samples)}
        unreadable = [name for name in config.query.ids if name not in rows]
        if unreadable:
            self._say(f"{len(unreadable)} images of query.ids cannot be used, the first is {unreadable[0]}")
        named = [rows[name] for name in config.query.ids if name in rows]
        head: Head = self.plan.loader.head
        problems, found = Problems(), []
        for number, (name, output) in enumerate(zip(self.plan.classes, self.model.outputs, strict=True)):
            column = torch.from_numpy(labels[:, number]).to(self.device)
            try:
                found.append(target(name, output, head, seen, column, config.query.choose, config.query.q_min, named))
            except ValueError as error:
                problems.add(f"{config.place('query')}: {error}")
        problems.stop()
        for asked in found:
            if asked.fallback:
                self._say(f"{asked.name}: {asked.fallback}")
        return found

    def _seen(self, features: npt.NDArray[np.float32], logits: npt.NDArray[np.float32]) -> Seen:
        return Seen(torch.from_numpy(features).to(self.device), torch.from_numpy(logits).to(self.device))

    def _choose(self, pool: Pool, query: Embedded, targets: Sequence[Target]) -> tuple[Selection, Seen]:
        config = self.plan.config
        seen = self._seen(pool.embedded.features[pool.rows], pool.embedded.logits[pool.rows])
        wish = Wish(config.function, config.kernel, config.eta, config.budget, config.seed)
        found = choose(seen, self._seen(query.features, query.logits), targets, wish)
        for message in found.messages:
            self._say(message)
        return found, seen

    def _write(self, pool: Pool, query: Embedded, targets: Sequence[Target], found: Selection, seen: Seen) -> None:
        rows = written.rows(pool.samples, query.samples, found, seen, targets)
        about = written.about(self.plan, self.model, pool, query, targets, found, self.device, self.result.messages)
        chosen = [(self.plan.pool, pool.samples[choice.row]) for choice in found.choices[: written.PICTURES]]
        wanted = {row for t in targets for row in t.rows[: written.EXAMPLES]}
        thumbs = written.thumbnails(
            [*chosen, *((self.plan.query, query.samples[row]) for row in sorted(wanted))], self.plan.loader.preprocessing
        )
        self.result.files = written.publish_all(self.out, about, rows, thumbs)
        for name, count in Counter(row["class"] or self.plan.config.function for row in rows).items():
            self.result.lines.append(f"{name:<24} {how_many(count, 'image')} chosen")

    def _say(self, message: str) -> None:
        log.info("%s", message)
        self.result.messages.append(message)


def _listed(dataset: Dataset, place: str) -> list[Sample]:
    classes, samples = listed_samples(dataset, place)
    problems = Problems()
    check_samples(samples, classes, place, problems)
    problems.stop()
    return samples
