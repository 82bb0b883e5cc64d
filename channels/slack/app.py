"""The Bolt application: which delivery is for whom. Whoever comes here was let in by the door, or by Slack's own socket."""

from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

from channels.slack import home, message
from channels.slack.commands import Commands
from channels.slack.forms import WHOLE
from channels.slack.parts import Parts
from channels.slack.presses import Presses

COMMAND = "/perdure"


def make(parts: Parts) -> AsyncApp:
    """Return the application of one tenant's workspace."""
    workspace = parts.workspace

    async def authorize(enterprise_id: str | None, team_id: str | None, user_id: str | None) -> AuthorizeResult:
        # The token was asked about once, at the start: no delivery waits for Slack to say who we are.
        token = workspace.client.token
        return AuthorizeResult(enterprise_id=None, team_id=workspace.team, bot_user_id=workspace.bot, bot_token=token)

    # The door verifies signatures: Bolt's verifier fails on a time that is no number, and knows no replay.
    app = AsyncApp(name="perdure", authorize=authorize, signing_secret="", request_verification_enabled=False)
    presses, commands = Presses(parts), Commands(parts)
    app.action(message.APPROVE)(presses.approve)
    for action in (message.REJECT, message.EDIT, message.DETAILS):
        app.action(action)(presses.form)
    app.action(WHOLE)(presses.whole)
    app.view("reject")(presses.reject)
    app.view("edit")(presses.edit)
    app.command(COMMAND)(commands.typed)

    async def visited(body: dict[str, Any]) -> None:
        parts.work.start(home.opened(parts, body), "home tab")

    app.event("app_home_opened")(visited)
    return app
