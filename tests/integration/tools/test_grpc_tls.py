"""TLS between a worker and a tool server: who shows no certificate, or one of another authority, calls nothing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from contracts.errors import BadInput, ToolFailed, TransientError
from tests.conformance.kinds import AUTOMATIONS, ENVIRONMENT, accept
from tests.servers import free_port
from tests.tool_servers import SERVER, running
from tools import zones
from tools.contract import Tool, ToolContext
from tools.executors.executor import Access, Executor
from tools.registry import Registry
from tools.serving import NoDocuments

KEY = "NOTES_KEY"


@dataclass(frozen=True)
class Papers:
    """Who signs, what the server shows, and what a worker does; all PEM."""

    folder: Path
    address: str
    client: trustme.LeafCert

    def server(self, *options: str | Path) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
        """Run a tool server with its certificate."""
        own = ("--certificate", self.folder / "server.pem", "--key", self.folder / "server.key")
        command = (*SERVER, "--address", self.address, "--automations", AUTOMATIONS, *own, *options)
        return running(command, self.address, quiet=True, **ENVIRONMENT)

    @property
    def key(self) -> str:
        """The worker's key."""
        return self.client.private_key_pem.bytes().decode()


@pytest.fixture
async def papers(tmp_path: Path) -> AsyncGenerator[Papers]:
    ours, strangers = trustme.CA(), trustme.CA()
    served, client, stranger = ours.issue_cert("127.0.0.1"), ours.issue_cert("worker"), strangers.issue_cert("worker")
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    served.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    served.private_key_pem.write_to_path(tmp_path / "server.key")
    automation = tmp_path / "automations" / "notes"
    automation.mkdir(parents=True)
    for name, data in {
        "ca.pem": ours.cert_pem, "strangers.pem": strangers.cert_pem,
        "client.pem": client.cert_chain_pems[0], "stranger.pem": stranger.cert_chain_pems[0],
    }.items():  # fmt: skip
        data.write_to_path(automation / name)
    (automation / "stranger.key").write_bytes(stranger.private_key_pem.bytes())
    yield Papers(tmp_path, f"127.0.0.1:{free_port()}", client)


async def written(papers: Papers, tls: dict[str, Any] | None, **secrets: str) -> dict[str, Any]:
    """Accept the tool `note.write` of the server, and call it as a worker would."""
    automation = papers.folder / "automations" / "notes"
    tls_line = f"tls: {tls}, " if tls is not None else ""
    (automation / "tools.yaml").write_text(f"grpc: {{notes: {{server: '{papers.address}', {tls_line}tools: [note.write, note.erase]}}}}")
    await accept(automation, Access({}, secrets.get))
    registry = Registry(automation.parent)
    try:
        tool = registry.tools("notes")["note.write"]
        return (await tool.call(tool.arguments.model_validate({"note": "x"}), context(tool.secrets, secrets))).model_dump()
    finally:
        await registry.close()


def context(names: tuple[str, ...], secrets: dict[str, str]) -> ToolContext:
    found = {name: secrets[name] for name in names}
    return ToolContext(
        tenant="default", automation="notes", lineage="lineage", step="step", key="lineage/step/1",
        deadline=datetime.now(UTC) + timedelta(seconds=20), input={}, settings={}, documents=NoDocuments("note.write"),
        endpoints={}, folder=Path(), secrets=found,
    )  # fmt: skip


async def test_tls_with_the_right_authority_works_and_any_other_does_not(papers: Papers) -> None:
    async with papers.server():
        assert (await written(papers, {"ca": "ca.pem"}))["count"] == 1
        for tls in ({"ca": "strangers.pem"}, {}, None):
            with pytest.raises(BadInput, match="cannot be used"):
                await written(papers, tls)


async def test_mutual_tls_wants_a_certificate_of_the_right_authority(papers: Papers) -> None:
    stranger = (papers.folder / "automations" / "notes" / "stranger.key").read_text()
    async with papers.server("--ca", papers.folder / "ca.pem"):
        shown = {"ca": "ca.pem", "certificate": "client.pem", "key": KEY}
        assert (await written(papers, shown, NOTES_KEY=papers.key))["count"] == 1
        with pytest.raises(BadInput, match="cannot be used"):
            await written(papers, {"ca": "ca.pem"})
        with pytest.raises(BadInput, match="cannot be used"):
            await written(papers, {**shown, "certificate": "stranger.pem"}, NOTES_KEY=stranger)


async def test_a_refused_certificate_leaves_no_write_unknown(papers: Papers) -> None:
    """Under TLS 1.3 a client believes itself connected before its certificate is looked at."""
    async with papers.server("--ca", papers.folder / "ca.pem"):
        shown = {"ca": "ca.pem", "certificate": "client.pem", "key": KEY}
        await written(papers, shown, NOTES_KEY=papers.key)
        manifest = papers.folder / "automations" / "notes" / "tools.yaml"
        manifest.write_text(manifest.read_text().replace(f"tls: {shown}", "tls: {ca: ca.pem}"))
        registry = Registry(manifest.parent.parent)
        tool = registry.tools("notes")["note.write"]
        with pytest.raises(TransientError, match="cannot be used"):
            await tool.call(tool.arguments.model_validate({"note": "x"}), context((), {}))
        await registry.close()


async def test_a_key_that_is_missing_or_elsewhere_is_named(papers: Papers) -> None:
    shown = {"ca": "ca.pem", "certificate": "client.pem", "key": KEY}
    for tls, said in (
        (shown, "set PERDURE_SECRET_NOTES_KEY"),
        ({"ca": "../../server.key"}, "is not in the folder of the automation"),
        ({"ca": "nowhere.pem"}, "cannot be read"),
        ({"ca": "ca.pem", "certificate": "client.pem"}, "go together"),
    ):
        with pytest.raises(BadInput, match=said):
            await written(papers, tls)


async def test_a_worker_without_the_key_says_which_is_missing(papers: Papers) -> None:
    async with papers.server("--ca", papers.folder / "ca.pem"):
        await written(papers, {"ca": "ca.pem", "certificate": "client.pem", "key": KEY}, NOTES_KEY=papers.key)
        registry = Registry(papers.folder / "automations")
        tool = registry.tools("notes")["note.write"]
        assert tool.secrets == (KEY,)
        with pytest.raises(ToolFailed, match="set PERDURE_SECRET_NOTES_KEY"):
            await tool.call(tool.arguments.model_validate({"note": "x"}), context((), {}))
        await registry.close()


def elsewhere(papers: Papers, key: Path, **changes: Any) -> tuple[Tool, Executor]:
    """Return `note.write` as a process of another zone has it, by the settings of an installation."""
    shown = zones.Papers(papers.folder / "ca.pem", papers.folder / "automations" / "notes" / "client.pem", key)
    own = {name: replace(tool, **changes) for name, tool in Registry(AUTOMATIONS).tools("notes").items()}
    placed, executors = zones.Zones({"worker": papers.address}, "another", shown).placed("notes", own)
    return placed["note.write"], executors[0]


async def test_a_zone_is_called_by_the_papers_of_the_installation(papers: Papers) -> None:
    key = papers.folder / "client.key"
    key.write_text(papers.key)
    async with papers.server("--ca", papers.folder / "ca.pem"):
        tool, executor = elsewhere(papers, key)
        assert (await tool.call(tool.arguments.model_validate({"note": "x"}), context((), {}))).model_dump()["count"] == 1
        await executor.close()
        tool, executor = elsewhere(papers, papers.folder / "nowhere.key")
        with pytest.raises(ToolFailed, match=r"nowhere\.key cannot be read"):
            await tool.call(tool.arguments.model_validate({"note": "x"}), context((), {}))
        await executor.close()


async def test_a_zone_with_other_files_is_waited_for(papers: Papers) -> None:
    key = papers.folder / "client.key"
    key.write_text(papers.key)
    async with papers.server():
        tool, executor = elsewhere(papers, key, version="newer")
        with pytest.raises(TransientError, match="both sides need the same files"):
            await tool.call(tool.arguments.model_validate({"note": "x"}), context((), {}))
        await executor.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--address", "0.0.0.0:0"), "would be called in clear"),
        (("--address", "127.0.0.1:0", "--certificate", "nowhere.pem"), "nowhere.pem cannot be read"),
        (("--address", "nonsense"), "is no address"),
        (("--zone", "Not A Zone"), "--zone is a name"),
    ],
)
async def test_a_server_that_must_not_start_says_why(options: tuple[str, ...], said: str) -> None:
    process = await asyncio.create_subprocess_exec(*SERVER, *options, stderr=asyncio.subprocess.PIPE)
    _, error = await process.communicate()
    assert process.returncode == 1 and said in error.decode()
