"""The commands that bring the one-machine stack up and down, and say how it is."""

import dataclasses
import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from channels.cli.link import Json, run
from devstack import stack
from devstack.doctor import Check, doctor
from devstack.progress import Progress as Say
from settings import Settings

STATES = {"running": "green", "supplied": "cyan", "stopped": "dim", "not answering": "red"}


def register(app: typer.Typer, prepare: stack.Prepare | None = None) -> None:
    """Add the commands; ``prepare`` runs in `up` when the tables are there, before the worker starts."""

    def up() -> None:
        """Start the stack of this machine: Postgres, Temporal, a model, mail and social stand-ins, the worker."""
        with progress() as say:
            settings = run(stack.up(Settings(), say, prepare=prepare))
        Console().print(conditions(run(stack.status(settings))))

    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("doctor")(diagnose)


def down() -> None:
    """Stop what `up` started; runs, memory and mail stay on disk."""
    with progress() as say:
        stopped = run(stack.down(Settings(), say))
    Console().print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def status(as_json: Json = False) -> None:
    """Show how each part is and where it can be reached."""
    found = run(stack.status(Settings()))
    show(found, conditions(found), as_json=as_json)


def diagnose(as_json: Json = False) -> None:
    """Check each part and name the mend for what is wrong; exits with 1 if something is."""
    found = run(doctor(Settings()))
    show(found, checks(found), as_json=as_json)
    if not all(check.ok for check in found):
        raise typer.Exit(1)


@contextmanager
def progress() -> Generator[Say]:
    """Show one line for each part that is at work, with the time it takes."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as lines:
        tasks: dict[str, TaskID] = {}

        def say(part: str, doing: str) -> None:
            if part not in tasks:
                tasks[part] = lines.add_task(part, total=None)
            lines.update(tasks[part], description=f"{part}: {doing}")
            if not doing:
                lines.remove_task(tasks.pop(part))

        yield say


def show(found: list[Any], table: Table, *, as_json: bool) -> None:
    """Print what was found, for a program or for a person."""
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in found], default=str))
    else:
        Console().print(table)


def conditions(found: list[stack.Condition]) -> Table:
    """Lay out how the parts are."""
    table = Table("part", "state", "pid", "where", box=None)
    for each in found:
        color = STATES[each.state]
        table.add_row(each.name, f"[{color}]{each.state}[/]", str(each.pid or ""), each.where)
    return table


def checks(found: list[Check]) -> Table:
    """Lay out what the doctor found, with the mends."""
    table = Table("", "check", "found", "mend", box=None)
    for each in found:
        table.add_row("[green]ok[/]" if each.ok else "[red]no[/]", each.name, each.detail, each.fix)
    return table
