"""What activities work with, injected by `worker.py`."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import rfc8785

from contracts.errors import BadInput
from database import Database
from memory.embedding import Embedder
from policies.bundles import Bundle, Bundles
from settings import Settings
from tools import zones
from tools.contract import Tool, ToolContext
from tools.documents import Documents
from tools.registry import Registry


@dataclass(frozen=True)
class Services:
    """Clients and settings that activities share.

    endpoints: name -> URL for tools. secret: returns a secret by its name, None where this worker has none.
    files: where tools may write, one folder for each tenant and automation below it.
    embedders: give queries their vectors; with none recall goes by words only.
    one_machine: whether unsigned rulings may be believed. build: names this worker's code in records.
    """

    database: Database
    bundles: Bundles
    registry: Registry
    endpoints: Mapping[str, str]
    secret: Callable[[str], str | None]
    files: Path
    one_machine: bool
    build: str
    heartbeat_seconds: float
    embedders: Sequence[Embedder] = ()

    def context(
        self,
        bundle: Bundle,
        tool: Tool,
        *,
        tenant: str,
        lineage: str,
        step: str,
        key: str,
        deadline: datetime,
        input: Mapping[str, Any],
        ancestors: Sequence[str] = (),
    ) -> ToolContext:
        """Return what one call of a tool may know and use. ancestors: the lineages that a fork comes from."""
        settings = bundle.settings.settings
        return ToolContext(
            tenant=tenant,
            automation=bundle.automation,
            lineage=lineage,
            step=step,
            key=key,
            deadline=deadline,
            input=input,
            settings=settings,
            documents=Documents(self.database, tenant, bundle.automation),
            endpoints=self.endpoints,
            folder=self.files / tenant / bundle.automation,
            options=settings.get("tools", {}).get(tool.name, {}),
            secrets=self._secrets(tool),
            ancestors=ancestors,
        )

    def _secrets(self, tool: Tool) -> dict[str, str]:
        # One that is not set is left out, and the call itself says so: looking up when a step is due needs none.
        found = {name: self.secret(name) for name in tool.secrets}
        return {name: value for name, value in found.items() if value}


def services(settings: Settings, database: Database, embedders: Sequence[Embedder] = ()) -> Services:
    """Return what activities share."""
    endpoints = {"smtp": settings.smtp_url, "social": settings.receiver_url, **settings.endpoints}
    return Services(
        database=database,
        bundles=Bundles(database),
        registry=Registry(settings.automations, zones.of(settings)),
        endpoints={name: url for name, url in endpoints.items() if url},
        secret=settings.secret,
        files=settings.state / "files",
        one_machine=settings.one_machine,
        build=settings.build,
        heartbeat_seconds=settings.heartbeat_seconds,
        embedders=embedders,
    )


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON. Source: RFC 8785.

    Raises: BadInput for what has no such form, like a number beyond 2**53.
    """
    try:
        return hashlib.sha256(rfc8785.dumps(value)).hexdigest()
    except rfc8785.CanonicalizationError as error:
        raise BadInput(f"a value cannot be bound by a digest: {error}") from None


def facts(
    tool: Tool, arguments: Mapping[str, Any], *, tenant: str, automation: str, input: Mapping[str, Any], taint: list[str], left: int
) -> dict[str, Any]:
    """Return what rules may know of an action; see policies.rules.FACTS. left: micro-dollars."""
    return {
        "tool": tool.name,
        "effect": tool.effect,
        "guarantee": tool.guarantee,
        "reversible": tool.reversible,
        "arguments": dict(arguments),
        "input": dict(input),
        "taint": taint,
        "automation": automation,
        "tenant": tenant,
        "cost_micros": tool.cost_micros,
        "budget_left_micros": left,
    }
