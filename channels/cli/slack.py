"""Commands about Slack: serve it, look whether it is set up, and print what to give to Slack."""

import asyncio
import json
import signal
from dataclasses import replace
from typing import Annotated, Any

import httpx2
import typer
from temporalio.client import Client

from channels.cli import console, link, screen
from contracts.errors import BadInput, PerdureError
from database import Database
from devstack import slack_parts
from ledger import directory
from settings import Settings

SCOPES = [
    "channels:history", "channels:read", "chat:write", "commands", "files:write", "groups:history", "im:write", "users:read",
]  # fmt: skip


def register(program_: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(no_args_is_help=True, help="Approvals in Slack.")
    for name, command in (("serve", serve), ("check", check), ("show", show), ("manifest", manifest)):
        commands.command(name)(command)
    program_.add_typer(commands, name="slack")


def serve(build: Annotated[str, typer.Option("--build", hidden=True, help="Names this code.")] = "") -> None:
    """Show requests in Slack and take rulings from there, until Ctrl-C; one tenant's, PERDURE_TENANT."""
    settings = link.settings()
    screen.show("serving Slack until Ctrl-C")
    link.run(_serve(settings))


# Slack's packages take half a second to import, which no other command should wait for.
async def _serve(settings: Settings) -> None:
    from channels.slack import program

    stop, connected = asyncio.Event(), list[Client]()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, stop.set)

    async def connect() -> Client:
        if not connected:
            connected.append(await link.temporal(settings))
        return connected[0]

    async with link.database(settings) as database:
        await program.run(settings, database, connect, stop)


def check(as_json: link.Json = False) -> None:
    """Look whether Slack can be served: the tokens, the channels, and who of the directory has an account there."""
    found = link.run(_check(link.settings()))
    if as_json:
        screen.print_json(found)
    else:
        screen.show(screen.table(("part", "state", "detail"), [(part["part"], part["state"], part["detail"]) for part in found]))
    if any(part["state"] == "no" for part in found):
        raise typer.Exit(link.REFUSED)


async def _check(settings: Settings) -> list[dict[str, str]]:
    from channels.slack import program, workspace

    found = [
        _part("signing secret", settings.secret(settings.slack_signing_secret), "HTTP", settings.slack_signing_secret),
        _part("app token", settings.secret(settings.slack_app_token), "socket mode", settings.slack_app_token),
    ]
    if all(part["state"] == "—" for part in found):
        found.append({"part": "a way in", "state": "no", "detail": "neither HTTP nor socket mode: set one of the two secrets"})
    async with program.client(settings) as web:
        try:
            there = await workspace.connect(web)
        except PerdureError as error:
            return [*found, {"part": "bot token", "state": "no", "detail": str(error)}]
        found.append({"part": "bot token", "state": "ok", "detail": f"workspace {there.team}"})
        for name, channel in {"(default)": settings.slack_channel, "(alerts)": settings.slack_alerts, **settings.slack_channels}.items():
            if channel:
                found.append(await _channel(web, name, channel))
    async with link.database(settings) as database:
        return [*found, *await _people(database, settings.tenant, there.team)]


def _part(part: str, secret: str | None, way: str, name: str) -> dict[str, str]:
    return {"part": part, "state": "ok" if secret else "—", "detail": way if secret else f"PERDURE_SECRET_{name} is not set: no {way}"}


async def _channel(web: Any, group: str, channel: str) -> dict[str, str]:
    from channels.slack import workspace

    part = {"part": f"channel of {group}", "state": "ok", "detail": channel}
    try:
        info = (await workspace.call(web.conversations_info, channel=channel)).get("channel", {})
    except workspace.Refused as error:
        return part | {"state": "no", "detail": f"{channel}: {error.code}"}
    if not info.get("is_member") or info.get("is_archived"):
        return part | {"state": "no", "detail": f"{channel}: the app is not in it, or it is archived; type `/invite @perdure` there"}
    return part


async def _people(database: Database, tenant: str, team: str) -> list[dict[str, str]]:
    async with database.transaction(tenant) as tx:
        known = [person for person in await directory.people(tx) if person.at_least("approver")]
    without = [person.id for person in known if person.slack_team != team]
    if not known:
        return [{"part": "people", "state": "no", "detail": "nobody may rule: `starter.py people add` with --slack-team and --slack-user"}]
    if without:
        return [{"part": "people", "state": "ok", "detail": f"{len(known) - len(without)} of {len(known)}; without: {', '.join(without)}"}]
    return [{"part": "people", "state": "ok", "detail": f"all {len(known)} who may rule have an account"}]


def show(as_json: link.Json = False) -> None:
    """Show what stands in the fake workspace that `up --slack` started; its page has buttons to press."""
    settings = link.settings()
    found = link.run(_messages(settings))
    if as_json:
        screen.print_json(found)
        return
    for message in found:
        where = f"{message['channel']}{' (thread)' if message['thread'] else ''}"
        pressed = "  ".join(f"[{button}]" for button in message["buttons"])
        screen.show(screen.styled(f"{where} {message['ts']}", "bold"))
        screen.show("\n".join(part for part in (message["shown"], pressed) if part))
    screen.show(f"{len(found) or 'no'} messages; press their buttons on {slack_parts.page(settings)}")


async def _messages(settings: Settings) -> list[dict[str, Any]]:
    from devstack.fake_slack.blocks import plain

    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
            found = (await client.get(f"{slack_parts.page(settings)}/messages")).json()
    except httpx2.HTTPError:
        raise BadInput(f"no fake Slack answers at {slack_parts.page(settings)}: `starter.py up --slack` starts one") from None
    return [{**message, "shown": plain(message["blocks"]) or message["text"]} for message in found]


async def let_in(settings: Settings) -> None:
    """Give the person at this machine the account of the fake workspace, where they have none."""
    from devstack.fake_slack.workspace import TEAM

    async with link.database(settings) as database:
        groups = await console.groups(database, settings.tenant)
        async with database.transaction(settings.tenant) as tx:
            me = await directory.person(tx, await console.local(tx, groups))
            if me and me.slack_user is None and await directory.by_slack(tx, TEAM, slack_parts.YOU) is None:
                await directory.put(tx, replace(me, slack_team=TEAM, slack_user=slack_parts.YOU), by=me.id)


def manifest(
    url: str = typer.Option("", "--url", help="Where Slack reaches Perdure, as https://perdure.example; none is socket mode."),
) -> None:
    """Print the manifest from which Slack makes the app."""
    typer.echo(json.dumps(_manifest(url.rstrip("/")), indent=2))


def _manifest(url: str) -> dict[str, Any]:
    from channels.slack.app import COMMAND
    from channels.slack.door import PATH

    where = {"request_url": f"{url}{PATH}"} if url else {}
    command = {"command": COMMAND, "description": "What waits for you, and why", "usage_hint": "list | show ID | why RUN | pause RUN"}
    return {
        "display_information": {"name": "Perdure", "description": "Approvals of what agents want to do"},
        "features": {
            "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True, "messages_tab_read_only_enabled": True},
            "bot_user": {"display_name": "perdure", "always_online": True},
            "slash_commands": [{**command, **({"url": f"{url}{PATH}"} if url else {}), "should_escape": False}],
        },
        "oauth_config": {"scopes": {"bot": SCOPES}},
        "settings": {
            "event_subscriptions": {**where, "bot_events": ["app_home_opened"]},
            "interactivity": {"is_enabled": True, **where},
            "org_deploy_enabled": False,
            "socket_mode_enabled": not url,
            "token_rotation_enabled": False,
        },
    }
