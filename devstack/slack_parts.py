"""The parts that show Slack on this machine: a fake workspace, and the app in it. They run where `up --slack` asked for them."""

import sys

from devstack.part import Daemon
from devstack.parts import code_version, gets
from devstack.processes import python_module
from devstack.progress import Progress
from settings import ROOT, Settings

CHANNEL, YOU = "C0APPROVALS", "U0YOU"
"""The only channel of the fake workspace, and the account of the person at this machine."""


def page(settings: Settings) -> str:
    """Return where the fake workspace is seen."""
    return f"http://127.0.0.1:{settings.fake_slack_port}"


async def _workspace_command(settings: Settings, progress: Progress) -> list[str]:
    return python_module(
        "devstack.fake_slack", "--port", str(settings.fake_slack_port), "--channel", CHANNEL, "--user", YOU, "--viewer", YOU
    )  # fmt: skip


async def _app_command(settings: Settings, progress: Progress) -> list[str]:
    return [sys.executable, "starter.py", "slack", "serve", "--build", code_version(ROOT)]


def _app_given(settings: Settings) -> dict[str, str]:
    """Return what makes the app one of the fake workspace, whatever this terminal knows of a real one."""
    # The package brings a web server, which no command should wait for.
    from devstack.fake_slack import server

    return {
        "PERDURE_SLACK_API": f"{page(settings)}/api/",
        "PERDURE_SLACK_CHANNEL": CHANNEL,
        "PERDURE_SLACK_CHANNELS": "{}",
        f"PERDURE_SECRET_{settings.slack_bot_token}": server.BOT_TOKEN,
        f"PERDURE_SECRET_{settings.slack_app_token}": server.APP_TOKEN,
        # None: deliveries come over the socket.
        f"PERDURE_SECRET_{settings.slack_signing_secret}": "",
    }


WORKSPACE = Daemon(
    name="fake-slack",
    title="the fake Slack",
    ports=("fake_slack_port",),
    command=_workspace_command,
    answers=lambda settings: gets(f"{page(settings)}/messages"),
)
APP = Daemon(
    name="slack",
    title="the Slack app",
    ports=(),
    command=_app_command,
    answers=lambda settings: gets(f"{page(settings)}/connected"),
    given=_app_given,
    seconds=60.0,
)
OPTIONAL: tuple[Daemon, ...] = (WORKSPACE, APP)
"""In the order in which they are started."""
