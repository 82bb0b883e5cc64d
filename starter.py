"""The client: `starter.py --help` lists what it can do."""

import typer

from channels.cli import approvals, automations, demo, runs, stack


def main() -> None:
    """Parse the command line and call the command."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Durable execution for AI agents.")
    stack.register(app, automations.apply_all)
    for commands in (automations, runs, approvals, demo):
        commands.register(app)
    app()


if __name__ == "__main__":
    main()
