"""audit.yaml to report, as one line of steps."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from . import (
    blind,
    closer_look,
    conclusions,
    control_pass,
    duplicates,
    gates,
    passes,
    plan,
    planning,
    results,
    self_test,
    subgroups,
)
from . import config as configs
from .device import choose_device
from .diff import earlier
from .ending import exit_code
from .errors import AuditError, ExitCode, MissingLibrary, ModelRefused, OutputError, gravest
from .evidence import Evidence
from .gated import line
from .ledger import Ledger, locked, publish
from .log import written_down
from .model import ScoreTable
from .observers import ask
from .pixels import PixelStore
from .plan import Plan
from .registry import Registry
from .share import record
from .wording import how_many

log = logging.getLogger("auditor")


class Progress(Protocol):
    """Whoever wants to know how far the audit is."""

    def start(self, total: int, label: str) -> None: ...
    def advance(self, n: int, note: str) -> None: ...
    def finish(self) -> None: ...


@dataclass
class RunResult:
    """How an audit ended and where its report lies."""

    exit_code: ExitCode
    html: Path | None = None
    pdf: Path | None = None
    messages: list[str] = field(default_factory=list)


def run(
    path: Path,
    out: Path,
    device: str = "auto",
    limit: int | None = None,
    strict: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Run an audit: measure what is not measured yet, contrast, report. Interrupted at any point, it can be run again."""
    config = configs.read(path)
    earlier.readable(config, out)
    registry = Registry(plugins=config.plugins, base=path.parent)
    with locked(out):
        if fresh:
            _clear(out)
        with written_down(out):
            audit = planning.make(config, registry, limit=limit, device=choose_device(device))
            ledger = Ledger(out / "ledger.db")
            store = PixelStore(out / "arrays" / "pixels" / audit.data_key, audit.dataset, audit.samples, audit.chunk)
            training = _training(audit, out)
            observers = Observers(registry)
            try:
                ledger.forgive()
                outcome = self_test.take(_tried(audit), audit.device)
                _block(audit, outcome, ledger)
                waiting = {model.id: passes.owed(audit, model, ledger) for model in audit.models}
                _preflight(audit, waiting, store, ledger)
                publish(out / "plan.json", plan.to_json(audit).encode())
                record.keep(audit, path, out)
                ledger.declare(audit.data_key, config.claims.text())
                ledger.declare(gates.scope(audit.data_key), gates.text(config.judged_gates))
                ledger.declare(results.DATE, results.today())
                ledger.declare(subgroups.scope(audit.data_key), subgroups.text(audit))
                observers.tell("plan_made", plan=audit)
                _measure([(audit, store), *training], ledger, out, progress, strict, observers)
                duplicates.run(audit, ledger, [store, *(pixels for _, pixels in training)])
                blind.run(audit, ledger, store)
                control_pass.run(audit, ledger, store)
                closer_look.run(audit, ledger, store)
                conclusions.run(audit, ledger)
                evidence = results.gather(audit, ledger, store, outcome.as_record())
            finally:
                for _, pixels in [(audit, store), *training]:
                    pixels.close()
                ledger.close()
            _clean(out / "arrays", {split.data_key for split, _ in [(audit, store), *training]})
            return _report(audit, evidence, out, registry, observers)


def _tried(audit: Plan) -> tuple[str, ...]:
    """What the self-test is asked about: the analyses, and what else this audit looks into."""
    copies = ["copies"] * any(model.looked_into for model in audit.models)
    return (*(analysis.name for analysis in audit.analyses), *copies, *["subgroups"] * bool(audit.config.subgroups))


def _block(audit: Plan, outcome: self_test.Outcome, ledger: Ledger) -> None:
    """Units of an analysis that the self-test found wrong are not run."""
    for unit in (*audit.units, *(audit.training.units if audit.training else ())):
        if unit.analysis is not None and (reason := outcome.blocks(unit.analysis.name)):
            ledger.fail(unit.key, reason)


class Observers:
    """Plugins that watch: one that fails is written down and stops nothing."""

    def __init__(self, registry: Registry) -> None:
        self._relay = registry.hook
        self.failures: list[str] = []

    def tell(self, hook: str, **facts: object) -> None:
        """Call an observer hook; its failures are kept for the end of the run, each once."""
        for failure in ask(self._relay, hook, **facts)[1]:
            if failure not in self.failures:
                self.failures.append(failure)


def _training(audit: Plan, out: Path) -> list[tuple[Plan, PixelStore]]:
    """The split of the training images with its pixels, if there is one."""
    split = audit.training
    if split is None:
        return []
    folder = out / "arrays" / "pixels" / split.data_key
    return [(split, PixelStore(folder, split.dataset, split.samples, split.chunk))]


def _measure(
    splits: Sequence[tuple[Plan, PixelStore]],
    ledger: Ledger,
    out: Path,
    progress: Progress | None,
    strict: bool,
    observers: Observers,
) -> None:
    models = splits[0][0].models
    steps = {
        model.id: sum(passes.steps(split, model, passes.owed(split, model, ledger)) for split, _ in splits) for model in models
    }
    total, done = sum(steps.values()), 0
    if progress and total:
        progress.start(total, splits[0][0].config.title)

    def notify(name: str, chunk: int) -> None:
        nonlocal done
        done += 1
        if progress:
            progress.advance(1, name)
        observers.tell("chunk_done", model=name, chunk=chunk, done=done, total=total)

    for model in models:
        started = time.monotonic()
        for split, pixels in splits:
            passes.run(split, model, ledger, pixels, out / "arrays", notify, strict)
        if steps[model.id]:
            log.info("measured %s: %d steps in %.1f s", model.id, steps[model.id], time.monotonic() - started)
    if progress and total:
        progress.finish()


def _preflight(audit: Plan, waiting: dict[str, dict[str, set[int]]], store: PixelStore, ledger: Ledger) -> None:
    """Try every model that has work to do on a few images, so that a long audit does not die in its last hour."""
    problems: list[str] = []
    for model in audit.models:
        if waiting[model.id]:
            try:
                if isinstance(model.loader, ScoreTable):
                    _check_scores(audit, model.loader)
                else:
                    network = passes.open_network(audit, model, store)
                    ledger.declare(results.size_of(model), str(network.parameters))
            except OutputError:
                raise
            except AuditError as error:
                problems.append(f"{model.place} ({model.id}): {error}")
            except Exception as error:  # a model plugin is a stranger's code
                log.error("%s failed", model.id, exc_info=error)
                problems.append(f"{model.place} ({model.id}): the model cannot be loaded: {type(error).__name__}: {error}")
    if problems:
        raise ModelRefused("\n".join(problems))


def _check_scores(audit: Plan, table: ScoreTable) -> None:
    import numpy as np

    scores = table.scores([sample.id for sample in audit.samples])
    if np.isnan(scores).all():
        raise ModelRefused(
            f"none of the {how_many(len(audit.samples), 'image')} has a score; ids look like {audit.samples[0].id!r} in the data set"
        )


def _report(audit: Plan, evidence: Evidence, out: Path, registry: Registry, observers: Observers) -> RunResult:
    from . import pictures, report

    for stale in ("report.html", "report.pdf"):
        (out / stale).unlink(missing_ok=True)
    pictures.save(out, evidence.pictures)
    publish(out / "results.json", evidence.to_json().encode())
    result = RunResult(exit_code(evidence))
    evidence = _with_changes(audit, evidence, out, result)
    try:
        written, failures = report.render(out, tuple(audit.config.report.formats), registry)
    except MissingLibrary as error:
        failures, written = [], {"html": out / "report.html"} if (out / "report.html").exists() else {}
        result.messages.append(str(error))
    if failures or result.messages:
        result.exit_code = gravest(result.exit_code, ExitCode.INCOMPLETE)
    result.messages += [f"section {failure.section} failed: {failure.error}" for failure in failures]
    result.html, result.pdf = written.get("html"), written.get("pdf")
    result.messages += [finding.text for finding in evidence.findings if finding.kind == "alarm"]
    result.messages += [line(row) for row in evidence.gates if row.outcome != "passed"]
    observers.tell("audit_done", evidence=evidence, report=written)
    if observers.failures:
        result.exit_code = gravest(result.exit_code, ExitCode.INCOMPLETE)
    result.messages += [f"a plugin failed: {failure}" for failure in observers.failures]
    return result


def _with_changes(audit: Plan, evidence: Evidence, out: Path, result: RunResult) -> Evidence:
    """The evidence, and in results.json too, with what changed since the earlier audit; its own numbers are finished by now."""
    if audit.config.earlier is None:
        return evidence
    started = time.monotonic()
    try:
        evidence = replace(evidence, earlier=earlier.since(audit.config.earlier, out))
    except AuditError as error:  # it could be read when the run began
        result.exit_code = gravest(result.exit_code, ExitCode.INCOMPLETE)
        result.messages.append(f"not compared with the earlier audit: {error}")
        return evidence
    publish(out / "results.json", evidence.to_json().encode())
    log.info("compared with the earlier audit in %.1f s", time.monotonic() - started)
    return evidence


def _clean(arrays: Path, data_keys: set[str]) -> None:
    """Features of finished passes, and pixels of data that this audit no longer names, are not kept."""
    shutil.rmtree(arrays / "features", ignore_errors=True)
    for folder in (arrays / "pixels").glob("*"):
        if folder.name not in data_keys:
            shutil.rmtree(folder, ignore_errors=True)


def _clear(out: Path) -> None:
    """`--fresh`: forget what this tool wrote here, and nothing else."""
    for name in (
        "ledger.db",
        "ledger.db-wal",
        "ledger.db-shm",
        "plan.json",
        "results.json",
        "report.html",
        "report.pdf",
        "log.txt",
    ):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / "arrays", ignore_errors=True)
