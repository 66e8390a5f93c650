"""A network of a finished audit: where it is, and which classes the audit found rare or weak."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .. import config as configs
from .. import evidence
from ..config import AuditConfig, Use
from ..errors import ConfigError, among, nearest
from ..evidence import Evidence
from ..statistics.rows import frequency_groups
from ..wording import figure, how_many

RESULTS = "results.json"


@dataclass(frozen=True)
class Audited:
    """The audit.yaml with its results, and the number of one of its models."""

    config: AuditConfig
    evidence: Evidence
    number: int

    @property
    def model(self) -> str:
        """The model as the report calls it."""
        return str(self.evidence.models[self.number]["id"])

    @property
    def digest(self) -> str:
        """The digest of the weights that were audited."""
        return str(self.evidence.models[self.number]["digest"])

    @property
    def use(self) -> Use:
        """The model as audit.yaml names it."""
        return self.config.models[self.number]

    @property
    def path(self) -> str:
        """Where audit.yaml names it."""
        return f"models[{self.number}]"

    def weakest(self, known: Collection[str]) -> dict[str, str]:
        """The rare classes of the audit, and the one this model tells apart worst, each with the reason; of the `known` ones."""
        found = self._rarest()
        levels = {
            row.class_name: row.value
            for row in self.evidence.select("auroc")
            if row.model == self.model and row.class_name in known and row.value is not None
        }
        if levels:
            worst = min(levels, key=lambda name: levels[name])
            found.setdefault(worst, f"the lowest AUROC of this model, {figure(levels[worst])}")
        return {name: why for name, why in found.items() if name in known}

    def _rarest(self) -> dict[str, str]:
        """The classes on less than a hundredth of the training images, or the rarest one; none where training is not known."""
        classes, train = tuple(self.evidence.dataset["classes"]), self.evidence.dataset.get("train")
        if not train or not train["images"]:
            return {}
        share = {name: count / train["images"] for name, count in train["positives"].items() if name in classes}
        groups = dict(frequency_groups(classes, (train["images"], train["positives"])))
        rare = [classes[number] for number in groups["(tail)"]] or [min(share, key=lambda name: share[name])]
        return {name: f"rare, on {100 * share[name]:.1f} % of the training images" for name in rare}


def find(run: str, audit: str | None, model: str | None, base: Path) -> Audited:
    """The model of this name of a finished run; raises ConfigError with what there is instead."""
    folder = base / run
    if not (folder / RESULTS).is_file():
        siblings = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ConfigError(
            f"found no {RESULTS} in {folder}; allowed: the folder of a finished run{nearest(folder.name, siblings)}"
        )
    written = base / audit if audit else folder.parent / f"{folder.name.removesuffix('-run')}.yaml"
    if not written.is_file():
        raise ConfigError(f"found no {written}, the audit.yaml of this run; say where it is: from: {{run: {run}, audit: FILE}}")
    config = configs.read(written)
    try:
        found = evidence.read(folder)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / RESULTS} cannot be read ({type(error).__name__}); run the audit again") from error
    names = [str(entry["id"]) for entry in found.models]
    if len(names) != len(config.models):
        raise ConfigError(
            f"{written} lists {how_many(len(config.models), 'model')} and {folder} has audited {len(names)}; run the audit again"
        )
    if model is None and len(names) > 1:
        raise ConfigError(f"model is missing; allowed: {', '.join(names)}")
    if model is not None and model not in names:
        raise ConfigError(f"no model is called {model!r}; allowed: {among(model, names)}")
    return Audited(config, found, names.index(model) if model is not None else 0)
