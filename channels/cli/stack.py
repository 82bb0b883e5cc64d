"""The commands that bring the one-machine stack up and down, and say how it is."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from channels.cli import link, screen
from channels.cli.automations import Folders
from channels.cli.link import Json
from channels.cli.reconcile import EVERY, schedule
from channels.cli.slack import let_in
from devstack import stack
from devstack.progress import Progress as Say
from settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("up", up), ("down", down), ("status", status), ("doctor", diagnose)):
        app.command(name)(command)


def up(
    slack: Annotated[bool, typer.Option("--slack", help="Also start a fake Slack workspace, and the app in it.")] = False,
    as_json: Json = False,
) -> None:
    """Start the stack of this machine: Postgres, Temporal, a model, mail and social stand-ins, the worker, the console."""
    settings, applied = link.settings(), Folders()
    with progress() as say:
        settings = link.run(stack.up(settings, say, prepare=applied.apply_all, slack=slack))
        link.run(_schedule(settings))
        if slack:
            link.run(let_in(settings))
    _show(link.run(stack.status(settings)), as_json=as_json)
    for problem in applied.problems.values():
        screen.complain(problem)
    if applied.problems:
        names = ", ".join(applied.problems)
        link.fail(f"the stack is up, but not as these folders say: {names}; correct them and run `starter.py apply NAME`")


async def _schedule(settings: Settings) -> None:
    """Have the ledger compared with Temporal from time to time."""
    await schedule(await link.temporal(settings), settings.task_queue, settings.tenant, EVERY)


def down(as_json: Json = False) -> None:
    """Stop what `up` started; runs, memory and mail stay on disk."""
    settings = link.settings()
    with progress() as say:
        stopped = link.run(stack.down(settings, say))
    if as_json:
        screen.print_json({"stopped": stopped})
    else:
        screen.show(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def status(as_json: Json = False) -> None:
    """Show how each part is and where it can be reached."""
    _show(link.run(stack.status(link.settings())), as_json=as_json)


def diagnose(as_json: Json = False) -> None:
    """Check each part and name the mend for what is wrong; exits with 1 if something is."""
    # Imported here: it brings the openai package, which takes longer to import than most commands take to run.
    from devstack.doctor import doctor

    found = link.run(doctor(link.settings()))
    if as_json:
        screen.print_json(found)
    else:
        rows = [(screen.colored("ok" if each.ok else "no"), each.name, each.detail, each.fix) for each in found]
        screen.show(screen.table(("", "check", "found", "mend"), rows, whole=2))
    if not all(check.ok for check in found):
        raise typer.Exit(link.REFUSED)


@contextmanager
def progress() -> Generator[Say]:
    """Show one line for each part that is at work, with the time it takes."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=screen.ERR, transient=True) as lines:
        tasks: dict[str, TaskID] = {}

        def say(part: str, doing: str) -> None:
            if part not in tasks:
                tasks[part] = lines.add_task(part, total=None)
            lines.update(tasks[part], description=screen.line(f"{part}: {doing}"))
            if not doing:
                lines.remove_task(tasks.pop(part))

        yield say


def _show(found: list[stack.Condition], *, as_json: bool) -> None:
    if as_json:
        screen.print_json(found)
    else:
        screen.show(_conditions(found))


def _conditions(found: list[stack.Condition]) -> Table:
    rows = [(each.name, screen.colored(each.state), str(each.pid or ""), each.where) for each in found]
    return screen.table(("part", "state", "pid", "where"), rows, whole=3)
