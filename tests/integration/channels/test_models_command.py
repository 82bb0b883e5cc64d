"""`starter.py memory models`: one embedding model follows another, by command."""

import asyncio
import json
from collections.abc import Callable, Generator
from typing import Any

import pytest
import typer
from click.testing import Result
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typer.testing import CliRunner

from activities.asking import Asking
from activities.embedder import embedders_of
from activities.indexer import Indexer
from channels.cli import memory
from database import Database
from memory import facts
from memory.embedding import PACKAGED
from memory.storing import NewFact
from memory.writes import WriteKey
from settings import Settings
from tests.embeddings import served

Terminal = Callable[..., Result]
DIMS = 8


async def embeddings(request: Request) -> Response:
    """Answer as an endpoint does: a text's vector counts its letters by eight kinds."""
    data: list[dict[str, Any]] = []
    for nth, text in enumerate((await request.json())["input"]):
        vector = [1.0 + sum(ord(letter) % DIMS == kind for letter in text) for kind in range(DIMS)]
        data.append({"object": "embedding", "index": nth, "embedding": vector})
    return JSONResponse({"object": "list", "model": "letters", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})


@pytest.fixture
def endpoint() -> Generator[str]:
    with served(embeddings) as url:
        yield url


@pytest.fixture
def terminal(database: Database, database_url: str, owner_database_url: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name, value in (
        ("DATABASE_URL", database_url),
        ("OWNER_DATABASE_URL", owner_database_url),
        ("EMBEDDING_BASE_URL", endpoint),
        ("EMBEDDING_MODEL", "letters"),
    ):
        monkeypatch.setenv(f"PERDURE_{name}", value)

    def run(*words: str, code: int = 0) -> Result:
        app = typer.Typer()
        app.command("nothing")(lambda: None)
        memory.register(app)
        done = CliRunner().invoke(app, ["memory", "models", *words])
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return run


async def test_a_model_is_built_beside_the_one_in_use_compared_switched_to_and_taken_back(
    database: Database, endpoint: str, terminal: Terminal
) -> None:
    async with embedders_of(
        Settings(embedding_base_url=endpoint, embedding_model="letters", embedding_api_key=SecretStr("k"))
    ) as embedders:
        async with database.transaction("default") as tx:
            await facts.write(tx, WriteKey("run", "a"), [NewFact(f"letter {nth} of the harbour") for nth in range(20)])
        await Indexer(database, embedders[::-1], "default").drain("default")
        assert [(one["name"], one["state"]) for one in await shown(terminal)] == [(PACKAGED, "active")]
        await asyncio.to_thread(terminal, "adopt", "letters")
        await Indexer(database, embedders, "default").drain("default")
        (_, letters) = await shown(terminal)
        assert (letters["state"], letters["dims"], letters["vectors"], letters["due"]) == ("building", DIMS, 20, 0)
        await asyncio.to_thread(terminal, "shadow", "letters")
        early = await asyncio.to_thread(terminal, "switch", "letters", code=2)
        assert "is not ready: 0 of 50 shadow reads" in early.output
        while (await shown(terminal))[1]["reads"]["reads"] < 50:
            for nth in range(100):
                await Asking(database, embedders).ask("default", f"harbour {nth}", k=3)
        assert "letters answers from now on" in (await asyncio.to_thread(terminal, "switch", "letters")).output
        assert f"{PACKAGED} answers again" in (await asyncio.to_thread(terminal, "back")).output
        assert [(one["name"], one["state"]) for one in await shown(terminal)] == [(PACKAGED, "active"), ("letters", "retired")]


async def shown(terminal: Terminal) -> list[dict[str, Any]]:
    return json.loads((await asyncio.to_thread(terminal, "--json")).stdout)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["adopt", "nobody"], "nothing here embeds with 'nobody'; there are letters, wordllama"),
        (["shadow", "letters"], "the tenant has no model 'letters'"),
        (["switch"], "right is adopt MODEL, shadow MODEL, switch MODEL, leave MODEL, or back"),
        (["burn", "letters"], "right is adopt MODEL"),
        (["back"], "no model was used before this one"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_line(terminal: Terminal, words: list[str], says: str) -> None:
    assert says in " ".join((await asyncio.to_thread(terminal, *words, code=2)).output.split())
