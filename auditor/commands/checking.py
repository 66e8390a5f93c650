"""The commands that look at a written file before anything is computed: validate, plan."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import ConfigError
from ..wording import how_many, named
from .asked import AUDIT, DEVICE, LIMIT


@click.command(name="validate")
@AUDIT
def validate_command(audit: Path) -> None:
    """Check audit.yaml (or a train.yaml, or a mine.yaml), tables and headers of checkpoints; opens no image, reads no weight."""
    from ..kinds import kind_of
    from ..validate import validate

    others = {"simulate.yaml": _validate_simulation, "train.yaml": _validate_training, "mine.yaml": _validate_mining}
    if check := others.get(kind_of(audit)):
        check(audit)
        return
    config, _ = validate(audit)
    click.echo(f"{audit} is good: {config.title}")
    click.echo(f"  dataset       {config.dataset.use}")
    click.echo(f"  models        {len(config.models)}, {named('strategy', config.strategies)}, reference {config.reference}")
    click.echo(f"  attributions  {', '.join(use.use for use in config.attributions) or 'none'}")
    click.echo(f"  analyses      {', '.join(use.use for use in config.analyses)}")
    click.echo(f"  gates         {len(config.gates) or 'none'}")


def _validate_training(written: Path) -> None:
    from ..training.config import read

    plan = read(written)
    click.echo(f"{written} is good: {plan.config.title}")
    click.echo(f"  dataset       {plan.config.dataset.use}")
    click.echo(
        f"  networks      {len(plan.runs)}: {how_many(len(plan.config.models), 'architecture')}, {how_many(len(plan.config.seeds), 'seed')}"
    )
    click.echo(f"  strategies    {', '.join(combination.called for combination in plan.config.strategies)}")
    click.echo(
        f"  recipe        {plan.config.recipe.use}: {how_many(plan.recipe.epochs, 'epoch')}, batches of {plan.recipe.batch}"
    )


def _validate_simulation(written: Path) -> None:
    from ..selection.simulation_config import read

    config = read(written).config
    click.echo(f"{written} is good: {config.title}")
    click.echo(f"  dataset       {config.dataset.use}, {config.imbalance.replace('_', ' ')} imbalance of {config.ratio:g} to 1")
    click.echo(f"  classes       {', '.join(config.classes)}")
    click.echo(f"  functions     {', '.join(config.functions)}")
    click.echo(
        f"  networks      {config.networks}: {how_many(config.rounds, 'round')} of {how_many(config.budget, 'image')}, {how_many(len(config.seeds), 'seed')}"
    )


def _validate_mining(written: Path) -> None:
    from ..selection.config import read

    plan = read(written)
    config = plan.config
    click.echo(f"{written} is good: {config.title}")
    click.echo(f"  model         {plan.audited.model if plan.audited else plan.loader.name}")
    click.echo(f"  pool          {config.pool.use}")
    click.echo(
        f"  query         {config.query.use}, {how_many(len(config.query.ids), 'id') if config.query.ids else config.query.choose}"
    )
    click.echo(f"  classes       {', '.join(plan.classes)}")
    click.echo(f"  choice        {how_many(config.budget, 'image')} by {config.function}")
    for why in plan.why:
        click.echo(f"  {why}")


@click.command()
@AUDIT
@DEVICE
@LIMIT
def plan(audit: Path, device: str, limit: int | None) -> None:
    """Say what a run (or a training, or a selection) would do: images, passes through networks, bytes, time."""
    from ..kinds import kind_of
    from ..problems import Problems
    from ..validate import validate

    kind = kind_of(audit)
    if kind == "simulate.yaml":
        raise ConfigError(
            f"{audit}: is a simulation; auditor validate says how many networks it trains, each as auditor train would"
        )
    if kind == "train.yaml":
        from ..device import choose_device
        from ..training.cost import describe as describe_training

        click.echo(describe_training(audit, choose_device(device)))
        return
    if kind == "mine.yaml":
        from ..device import choose_device
        from ..selection.config import read as read_mining
        from ..selection.cost import describe as describe_mining

        click.echo(describe_mining(read_mining(audit), choose_device(device)))
        return
    config, registry = validate(audit)
    from ..device import choose_device
    from ..estimate import describe
    from ..planning import make

    problems = Problems()
    made = make(config, registry, limit=limit, problems=problems, device=choose_device(device))
    problems.stop()
    click.echo(describe(made))
