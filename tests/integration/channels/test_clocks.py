"""A clock that is ten minutes off: the database's counts, and where a clock of ours does, a refusal says so."""

import asyncio
import json
import os
import shlex
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from channels.cli import automations
from channels.console.cookies import Carried, Cookies
from contracts.approvals import Ruling
from database import Database
from devstack.fake_slack.faults import Signature
from ledger import approvals, directory, effects, runs, signatures
from policies import bundles
from settings import ROOT
from tests import clocks
from tests.house import AUTOMATIONS
from tests.integration.ledger import people, rows
from tests.integration.ledger.rows import in_seconds
from tests.slack import ANN, standing

KEY = "k" * 40
OFF = [600, -600]
compiled = pytest.mark.skipif(clocks.COMPILER is None, reason=clocks.WITHOUT)


async def ran(environment: dict[str, str], *command: str) -> tuple[int, str]:
    """Run a program of ours and return how it ended and what it said."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, env={**os.environ, **environment}, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode() + err.decode()


async def terminal(database: Database, database_url: str, folder: Path, off: int) -> dict[str, str]:
    """Return the environment of Ann's terminal, whose clock is off."""
    await people.put(database, "ann", "finance")
    async with database.transaction("default") as tx:
        token = await directory.mint(tx, "ann", ("decide",), in_seconds(3600))
    secrets = {"PERDURE_SECRET_API_TOKEN": token, f"PERDURE_SECRET_{signatures.KEY_NAME}": KEY}
    return {**clocks.wrong(folder, off), **secrets, "PERDURE_DATABASE_URL": database_url}


@compiled
@pytest.mark.parametrize("off", OFF)
async def test_the_clock_of_such_a_program_is_off(tmp_path: Path, off: int) -> None:
    code, said = await ran(
        clocks.wrong(tmp_path, off), "-c", "import time, datetime; print(time.time(), datetime.datetime.now().timestamp())"
    )
    assert code == 0 and all(abs(float(at) - time.time() - off) < 120 for at in said.split())


@compiled
@pytest.mark.parametrize("off", OFF)
async def test_deadlines_are_the_databases_whoever_rules(database: Database, database_url: str, tmp_path: Path, off: int) -> None:
    environment = await terminal(database, database_url, tmp_path, off)
    await rows.open_run(database)
    async with database.transaction("default") as tx:
        await approvals.ask(tx, people.asked(id="apr-open", seconds=300))
        await approvals.ask(tx, people.asked(id="apr-over", seconds=-300))
    code, said = await ran(environment, "starter.py", "approve", "apr-over")
    assert code == 1 and "expired at" in said
    code, said = await ran(environment, "starter.py", "approve", "apr-open")
    assert code == 0 and "approved by ann" in said
    async with database.transaction("default") as tx:
        found = await approvals.read(tx, "apr-open")
        assert found is not None and found.ruled_at is not None
        assert abs(await tx.value("SELECT now()") - found.ruled_at) < timedelta(minutes=5)


ASKING = """
import asyncio
from activities.compensation import Compensation
from activities.services import services
from database import Database
from ledger import effects, runs
from settings import Settings

async def main(lineage, key):
    settings = Settings()
    database = await Database.connect(settings.database_url.get_secret_value())
    made = services(settings, database)
    async with database.transaction("default") as tx:
        run, effect = await runs.read(tx, lineage), await effects.read(tx, key)
    bundle = await made.bundles.get("default", run.bundle)
    left = await Compensation(made, run, bundle, "default", "undo-1").take_back(effect)
    print(left.gate.request)
    await made.registry.close()
    await database.close()

asyncio.run(main({lineage!r}, {key!r}))
"""


@compiled
@pytest.mark.parametrize("off", OFF)
async def test_the_deadline_of_a_question_about_an_undo_is_the_databases(
    database: Database, database_url: str, tmp_path: Path, off: int
) -> None:
    bundle = automations.load(AUTOMATIONS / "probe")
    claim = rows.claim(0, tool="probe.guarded", guarantee="guarded", arguments={"note": "one"}, undo_with="probe.erase")
    async with database.transaction("default") as tx:
        await bundles.apply(tx, bundle, "tester")
        await runs.open_run(tx, rows.run(automation="probe", bundle=bundle.hash), limit_micros=1_000_000)
        held = await effects.claim(tx, claim)
        assert held is not None and await effects.record(
            tx, held, "unknown", output={"id": "n-1", "note": "one"}, detail="nobody saw it end"
        )
    environment = {**clocks.wrong(tmp_path, off), "PERDURE_DATABASE_URL": database_url, "PERDURE_AUTOMATIONS": str(AUTOMATIONS)}
    code, said = await ran(environment, "-c", ASKING.format(lineage=rows.LINEAGE, key=claim.key))
    assert code == 0, said
    async with database.transaction("default") as tx:
        found = await approvals.read(tx, said.split()[-1])
        assert found is not None and found.question == "undo"
        # Half of what the clock is off by.
        assert abs(found.deadline - await approvals.now(tx) - timedelta(days=3)) < timedelta(minutes=5)
        assert abs(found.expires_at - found.deadline - timedelta(hours=1)) < timedelta(seconds=1)


@compiled
@pytest.mark.parametrize("off", OFF)
async def test_a_signed_word_holds_by_the_databases_clock(database: Database, database_url: str, tmp_path: Path, off: int) -> None:
    environment = await terminal(database, database_url, tmp_path, off)
    await rows.open_run(database)
    async with database.transaction("default") as tx:
        await approvals.ask(tx, people.asked())
    code, said = await ran(environment, "starter.py", "approve", "apr-1", "--print-signal")
    assert code == 0, said
    words = shlex.split(said.splitlines()[0])
    ruling = Ruling.model_validate_json(words[words.index("--input") + 1])
    async with database.transaction("default") as tx:
        now: datetime = await approvals.now(tx)
        word = signatures.read(KEY, ruling.token or "", "default", ruling, rows.DIGEST, now)
        assert isinstance(word, signatures.Word)
        assert 0 <= now.timestamp() + signatures.HOLDS.total_seconds() - word.until < 120
        late = signatures.read(KEY, ruling.token or "", "default", ruling, rows.DIGEST, now + signatures.HOLDS)
        assert "its token ran out at" in str(late)
        assert (await approvals.rule(tx, ruling, channel="signal", trusted=False, key=KEY)).message == "approved by ann"


@compiled
@pytest.mark.parametrize("off", OFF)
async def test_a_token_and_a_delegation_end_by_the_databases_clock(database: Database, database_url: str, tmp_path: Path, off: int) -> None:
    for person in ("ann", "bob"):
        await people.put(database, person, "finance")
    environment = {**clocks.wrong(tmp_path, off), "PERDURE_DATABASE_URL": database_url, "PERDURE_ONE_MACHINE": "true", "LOGNAME": "joe"}
    # Less than the clock is off by: by the wrong one it would be over, or begin too late.
    brief = ("--days", str(300 / 86_400))
    minted, token = await ran(environment, "starter.py", "people", "token", "ann", *brief)
    lent, said = await ran(environment, "starter.py", "people", "delegate", "ann", "bob", "--group", "finance", *brief)
    assert (minted, lent) == (0, 0), token + said
    async with database.transaction("default") as tx:
        now, bearer, given = await approvals.now(tx), await directory.by_token(tx, token.strip()), await directory.delegations(tx, "bob")
    assert bearer is not None and [one.giver for one in given] == ["ann"]
    assert all(timedelta(0) < until - now <= timedelta(seconds=300) for until in (bearer.expires_at, given[0].until))


@compiled
@pytest.mark.parametrize("off", OFF)
async def test_a_cookie_of_a_console_with_another_clock_is_read(tmp_path: Path, off: int) -> None:
    made = (
        "import json; from starlette.responses import Response; from channels.console.cookies import Carried, Cookies;"
        f"cookies, answer = Cookies({KEY!r}, secure=False), Response();"
        "cookies.give(answer, Carried('default', 'session-1')); print(json.dumps(answer.headers['set-cookie']))"
    )
    code, said = await ran(clocks.wrong(tmp_path, off), "-c", made)
    assert code == 0, said
    cookie = json.loads(said).split(";")[0].partition("=")[2]
    assert Cookies(KEY, secure=False).read(cookie) == Carried("default", "session-1")
    assert Cookies("x" * 40, secure=False).read(cookie) is None


@pytest.mark.parametrize(
    ("signature", "said"), [("stale", "600 s behind this machine's clock"), ("early", "s ahead of this machine's clock")]
)
async def test_what_slack_signs_by_another_clock_is_refused_and_the_record_names_the_clock(
    database: Database, tmp_path: Path, signature: Signature, said: str
) -> None:
    async with standing(database, tmp_path) as stand:
        await stand.ask()
        stand.fake.faults.signature = signature
        assert (await stand.press(ANN, "approve")).status == 401
        (refused,) = await stand.refusals()
        assert "more than five minutes off" in refused["why"] and "this clock is wrong" in refused["why"]
        assert said.split(" ", 1)[1] in refused["why"]
        assert (await stand.request()).state == "pending"
        stand.fake.faults.signature = "good"
        assert (await stand.press(ANN, "approve")).status == 200
        assert (await stand.request()).state == "approved"
