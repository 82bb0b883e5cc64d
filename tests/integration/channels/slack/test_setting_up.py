"""Setting Slack up: what is missing is named, with what would be right."""

import json
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from channels.cli import slack as commands
from channels.slack import program
from channels.slack.workspace import Refused
from contracts.errors import BadInput
from tests.slack import CHANNEL, FINANCE, Stand, configured, no_temporal


async def test_without_a_token_or_a_channel_the_program_says_what_to_set(stand: Stand, tmp_path: Path) -> None:
    bare = stand.settings.model_copy(update={"secrets": tmp_path / "nowhere"})
    with pytest.raises(BadInput, match="PERDURE_SECRET_SLACK_BOT_TOKEN"):
        async with program.opened(bare, stand.database, no_temporal):
            pass
    with pytest.raises(BadInput, match="PERDURE_SLACK_CHANNEL"):
        async with program.opened(stand.settings.model_copy(update={"slack_channel": None}), stand.database, no_temporal):
            pass


async def test_a_token_that_slack_does_not_believe_ends_the_start(stand: Stand, tmp_path: Path) -> None:
    settings = configured(stand.fake, tmp_path / "others")
    (tmp_path / "others" / "SLACK_BOT_TOKEN").write_text("xoxb-wrong")
    with pytest.raises(Refused, match="invalid_auth"):
        async with program.opened(settings, stand.database, no_temporal):
            pass


async def test_check_names_the_channel_that_is_gone_and_who_has_no_account(stand: Stand, database_url: str) -> None:
    stand.fake.workspace.delete_channel(FINANCE)
    changes = {"slack_channels": {"finance": FINANCE}, "database_url": SecretStr(database_url)}
    found = {part["part"]: part for part in await commands._check(stand.settings.model_copy(update=changes))}  # pyright: ignore[reportPrivateUsage]
    assert found["bot token"]["state"] == found["signing secret"]["state"] == "ok"
    assert found["channel of finance"]["state"] == "no" and "channel_not_found" in found["channel of finance"]["detail"]
    assert found["channel of (default)"]["detail"] == CHANNEL
    assert found["people"]["detail"] == "all 2 who may rule have an account"


def test_the_manifest_names_one_address_or_socket_mode() -> None:
    app = typer.Typer()
    commands.register(app)
    over_http = json.loads(CliRunner().invoke(app, ["slack", "manifest", "--url", "https://perdure.example/"]).stdout)
    assert over_http["settings"]["interactivity"]["request_url"] == "https://perdure.example/slack/events"
    assert over_http["features"]["slash_commands"][0]["url"] == "https://perdure.example/slack/events"
    in_sockets = json.loads(CliRunner().invoke(app, ["slack", "manifest"]).stdout)
    assert in_sockets["settings"]["socket_mode_enabled"] and "request_url" not in in_sockets["settings"]["interactivity"]
