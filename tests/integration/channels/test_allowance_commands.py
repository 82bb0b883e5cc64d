"""`starter.py memory` where embeddings cost: what an import, the numbers, the check and the doctor say of the day's allowance."""

import asyncio
import json
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typer.testing import CliRunner

from channels.cli import memory
from database import Database
from devstack.doctor import Check, doctor
from memory import allowance, models
from memory.allowance import MOST, Terms
from settings import ROOT, Settings
from tests.embeddings import served

Terminal = Callable[..., Result]
CAP = MOST + 1_000


async def embeddings(request: Request) -> Response:
    """Answer as an endpoint does, and count ten tokens for each text."""
    texts = (await request.json())["input"]
    data: list[dict[str, Any]] = [{"object": "embedding", "index": nth, "embedding": [1.0, len(text)]} for nth, text in enumerate(texts)]
    used = 10 * len(texts)
    return JSONResponse({"object": "list", "model": "letters", "data": data, "usage": {"prompt_tokens": used, "total_tokens": used}})


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
        ("EMBEDDING_MICROS_PER_MILLION", "1000000"),
        ("EMBEDDING_DAY_MICROS", str(CAP)),
    ):
        monkeypatch.setenv(f"PERDURE_{name}", value)

    def run(*words: str, code: int = 0) -> Result:
        app = typer.Typer()
        app.command("nothing")(lambda: None)
        memory.register(app)
        done = CliRunner().invoke(app, ["memory", *words], env={"COLUMNS": "200"})
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return run


def said(folder: Path, count: int) -> str:
    path = folder / "said.jsonl"
    path.write_text("".join(json.dumps({"id": f"m{nth}", "text": f"the letter about boat{nth}"}) + "\n" for nth in range(count)))
    return str(path)


async def program(*words: str, logs: bytes = b"embeddings stopped for today") -> str:
    """Run the real program, which sends its log elsewhere, and return its answer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "starter.py"), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    answer, log = await process.communicate()
    assert process.returncode == 0 and logs in log, log
    return answer.decode()


async def test_an_import_keeps_every_line_and_says_which_vectors_wait_for_tomorrow(
    database: Database, owner_database_url: str, terminal: Terminal, tmp_path: Path
) -> None:
    await models.lay(owner_database_url, "letters", 2)
    fresh = json.loads((await asyncio.to_thread(terminal, "stats", "--json")).stdout)
    assert fresh["embeddings"] is None
    done = json.loads(await program("memory", "import", said(tmp_path, 200), "--json"))
    # Ten micro-dollars for each of the first request's texts: too little is left then for whatever may come.
    fit = CAP // (len("the letter about boat100") + allowance.EXTRA)
    assert fit >= 128 and done["new"] == 200 and "vector_seconds" not in done
    assert "later, by a worker: 72 wait in tenant default, $0.00128 spent and $0 reserved of $0.081016" in done["vectors"]
    told = (await asyncio.to_thread(terminal, "import", said(tmp_path, 201))).output
    assert "1 new" in told and "their vectors follow later, by a worker: 73 wait in tenant default" in " ".join(told.split())

    counted = json.loads((await asyncio.to_thread(terminal, "stats", "--json")).stdout)
    assert counted["models"][0]["waiting"] == 73
    day = counted["embeddings"]
    assert (day["spent_micros"], day["reserved_micros"], day["cap_micros"], day["tokens"]) == (1_280, 0, CAP, 1_280)
    for command in ("stats", "check"):
        shown = " ".join((await asyncio.to_thread(terminal, command)).output.split())
        assert "$0.00128 spent and $0 reserved of $0.081016 for embeddings on" in shown
        assert "there was no room left at" in shown and "is found by words only" in shown
    checked = json.loads((await asyncio.to_thread(terminal, "check", "--json")).stdout)
    assert not any(checked["findings"].values()) and checked["embeddings"] == day

    async with database.transaction("default") as tx:
        assert await allowance.reserve(tx, Terms(1_000_000, CAP), CAP - 1_280)
    found = await asyncio.to_thread(terminal, "recall", "what of boat190")
    assert "m190" in found.output and "allowance is used up" in " ".join(found.output.split())


async def test_an_endpoint_that_gives_nothing_for_its_money_is_left_alone_and_all_say_so(
    database: Database, owner_database_url: str, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await models.lay(owner_database_url, "letters", 3)
    monkeypatch.setenv("PERDURE_EMBEDDING_DAY_MICROS", str(10 * CAP))
    assert json.loads((await asyncio.to_thread(terminal, "stats", "--json")).stdout)["left_alone"] == []
    for count in (100, 110):
        done = json.loads((await asyncio.to_thread(terminal, "import", said(tmp_path, count), "--json")).stdout)
        assert "gave vectors of 2 numbers and has 3 here" in done["vectors"]
    assert (await asyncio.to_thread(terminal, "recall", "what of boat7")).exit_code == 0
    for count in (120, 130):
        done = json.loads(
            await program("memory", "import", said(tmp_path, count), "--json", logs=b"an endpoint of embeddings is left alone")
        )
    why = "the breaker of the model letters is open until"
    assert f"130 wait in tenant default, {why}" in done["vectors"]

    (left_alone,) = json.loads((await asyncio.to_thread(terminal, "stats", "--json")).stdout)["left_alone"]
    assert left_alone.startswith(why) and left_alone.endswith("gave vectors of 2 numbers and has 3 here")
    shown = " ".join((await asyncio.to_thread(terminal, "stats")).output.split())
    assert left_alone in shown and "queries go by words" in shown
    assert left_alone in " ".join((await asyncio.to_thread(terminal, "recall", "what of boat7")).output.split())
    found = await examined(Settings())
    assert not found.ok and found.detail.endswith(left_alone) and found.fix == "check PERDURE_EMBEDDING_BASE_URL"


async def test_a_model_is_tried_on_the_allowance_of_who_adopts_it(database: Database, terminal: Terminal) -> None:
    await asyncio.to_thread(terminal, "models", "adopt", "letters")
    async with database.transaction("default") as tx:
        standing = await allowance.today(tx)
    assert standing and standing.tokens == 10


@pytest.mark.parametrize(
    ("missing", "says"),
    [("DAY_MICROS", "PERDURE_EMBEDDING_DAY_MICROS is not"), ("MICROS_PER_MILLION", "PERDURE_EMBEDDING_MICROS_PER_MILLION is not set")],
)
def test_what_is_not_bounded_is_not_begun_and_what_is_imported_is_kept(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, says: str
) -> None:
    monkeypatch.delenv(f"PERDURE_EMBEDDING_{missing}")
    assert says in " ".join(terminal("recall", "boat", code=2).output.split())
    done = json.loads(terminal("import", said(tmp_path, 3), "--json").stdout)
    assert done["new"] == 3 and says in done["vectors"]


async def examined(settings: Settings) -> Check:
    return next(check for check in await doctor(settings) if check.name == "embeddings")


async def test_the_doctor_says_who_makes_embeddings_and_what_is_spent(
    database: Database, terminal: Terminal, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await examined(Settings()) == Check("embeddings", True, f"{endpoint}, nothing spent today")
    async with database.transaction("default") as tx:
        assert await allowance.reserve(tx, Terms(1_000_000, CAP), CAP)
        assert await allowance.stop(tx)
    found = await examined(Settings())
    assert found.ok and "$0 spent and $0.081016 reserved of $0.081016" in found.detail and found.detail.endswith("which had no room left")
    monkeypatch.delenv("PERDURE_EMBEDDING_DAY_MICROS")
    found = await examined(Settings())
    assert not found.ok and "PERDURE_EMBEDDING_DAY_MICROS is not" in found.fix
    monkeypatch.delenv("PERDURE_EMBEDDING_MICROS_PER_MILLION")
    assert await examined(Settings()) == Check("embeddings", True, f"{endpoint}, for nothing")
    monkeypatch.delenv("PERDURE_EMBEDDING_BASE_URL")
    assert (await examined(Settings())).detail == "the packaged model, for nothing"
