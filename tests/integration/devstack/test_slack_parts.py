"""`up --slack`: a fake workspace and the app in it, where somebody without an account sees approvals and presses their buttons."""

import asyncio
import re
from collections.abc import Callable

import httpx2
import pytest
import typer
from typer.testing import CliRunner

from channels.cli import slack as commands
from database import Database
from devstack import slack_parts, stack
from devstack.doctor import doctor
from devstack.fake_slack.workspace import TEAM
from ledger import approvals, directory
from settings import Settings
from tests.integration.ledger import rows
from tests.servers import until

Read = Callable[[], Settings]


async def test_a_request_is_shown_in_the_fake_workspace_and_ruled_on_its_page(settings: Read) -> None:
    await stack.up(settings(), parts=("temporal", "postgres"), slack=True)
    found = {check.name: check for check in await doctor(settings())}
    page = slack_parts.page(settings())
    assert (found["slack"].ok, found["slack"].detail) == (True, f"fake, {page}")
    assert {"fake-slack", "slack"} <= {condition.name for condition in await stack.status(settings()) if condition.state == "running"}
    await commands.let_in(settings())
    url = settings().database_url
    assert url
    database = await Database.connect(url.get_secret_value(), size=2)
    try:
        async with database.transaction("default") as tx:
            me = await directory.by_slack(tx, TEAM, slack_parts.YOU)
            assert me is not None and me.role == "admin"
            # On this machine all who may rule are in the groups that bundles name, and none was applied here.
            await directory.put(tx, directory.Person(me.id, me.name, "admin", frozenset({"editor"}), TEAM, slack_parts.YOU), "test")
            await approvals.ask(tx, rows.request("apr-<b>1"))
        await pressed(page, "approve")
        state = ""

        async def approved() -> bool:
            nonlocal state
            async with database.transaction("default") as tx:
                row = await approvals.read(tx, "apr-<b>1")
                state = row.state if row else ""
            return state == "approved"

        await until(approved)
        app = typer.Typer()
        commands.register(app)
        said = await asyncio.to_thread(CliRunner().invoke, app, ["slack", "show"])
        assert slack_parts.CHANNEL in said.stdout and page in " ".join(said.stdout.split())
    finally:
        await database.close()
    assert {"fake-slack", "slack"} <= set(await stack.down(settings()))
    assert not {condition.name for condition in await stack.status(settings())} & {"fake-slack", "slack"}


async def pressed(page: str, action: str) -> None:
    """Press a button of the first message, when there is one, as a browser does."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:

        async def shown() -> bool:
            return f"value='{action}'" in (await client.get(page)).text

        await until(shown)
        html = (await client.get(page)).text
        where = re.search(r"name=where value='([^']+)'", html)
        assert where and "<b>" not in html
        form = {"where": where.group(1), "action": action}
        elsewhere = await client.post(f"{page}/page/press", data=form, headers={"origin": "http://evil.example"})
        assert elsewhere.status_code == 403
        assert (await client.get(page, headers={"host": "evil.example"})).status_code == 403
        assert (await client.post(f"{page}/page/press", data=form, headers={"origin": page})).status_code == 303


async def test_without_a_fake_workspace_showing_it_says_how_to_start_one(settings: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    commands.register(app)
    said = await asyncio.to_thread(CliRunner().invoke, app, ["slack", "show"])
    assert said.exit_code == 2 and "`starter.py up --slack` starts one" in " ".join(said.stderr.split())
