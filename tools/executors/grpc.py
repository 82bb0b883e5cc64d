"""Tools of gRPC servers, in any language: the contract is `tools/proto/tool_executor.proto`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import BadInput, ToolFailed, TransientError
from tools import wire
from tools.contract import SECRET, Tool
from tools.executors.channel import CONNECT_SECONDS, Peer
from tools.executors.executor import Access, Declaration, Executor, Place, bound
from tools.executors.grpc_executor import GrpcExecutor, Remote, asked
from tools.lock import Definition
from tools.proto.tool_executor_pb2_grpc import ToolExecutorStub


class Tls(BaseModel):
    """Files in the automation's folder, in PEM; the key is a secret, by its name. Without ``ca`` the usual authorities count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: str | None = None
    certificate: str | None = None
    key: Annotated[str, Field(pattern=f"^{SECRET}$")] | None = None

    def peer(self, address: str, folder: Path, access: Access) -> Peer:
        """Return the server with what both sides show each other. Raises: BadInput naming what is missing."""
        if (self.certificate is None) != (self.key is None):
            raise BadInput("`certificate` and `key` go together")
        key = access.secret(self.key) if self.key else None
        if self.key and key is None:
            raise BadInput(f"the key of its certificate is not set: set PERDURE_SECRET_{self.key}")
        ca, certificate = _pem(folder, self.ca), _pem(folder, self.certificate)
        return Peer(address, encrypted=True, ca=ca, certificate=certificate, key=key.encode() if key else None)


def _pem(folder: Path, name: str | None) -> bytes | None:
    if name is None:
        return None
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BadInput(f"{name} is not in the folder of the automation")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


class GrpcSource(BaseModel):
    """One server of a manifest. Without ``tls`` it is called in clear: on this machine, or where ``plaintext`` says so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server: str
    """The name of an endpoint, or host:port."""
    tls: Tls | None = None
    plaintext: bool = False
    allowed: tuple[str, ...] | dict[str, str] = Field(alias="tools", min_length=1)
    """Which of its tools an automation has: their names, or their name -> ours."""

    def executor(self, place: Place) -> Executor:
        """See `tools.executors.executor.Source`."""
        accepted = {name: place.accepted[name] for name in self._names if name in place.accepted}
        remotes = {name: Remote(reads=one.declared.get("effect") == "read", pin=one.pin) for name, one in accepted.items()}
        return GrpcExecutor(place.folder.name, lambda access: self._peer(place, access), remotes, mend=_mend(place))

    def tools(self, place: Place, executor: Executor) -> dict[str, Tool]:
        """See `tools.executors.executor.Source`. Raises: BadInput where a tool was not accepted yet."""
        if unseen := [name for name in self._names if name not in place.accepted]:
            raise BadInput(f"nobody has accepted {', '.join(unseen)} yet: {_mend(place)}")
        return {ours: self._bound(ours, place.accepted[theirs], executor) for theirs, ours in self._names.items()}

    async def discover(self, place: Place, access: Access) -> Sequence[Definition]:
        """See `tools.executors.executor.Source`."""
        peer = self._peer(place, access)
        async with peer.channel() as channel:
            try:
                found = {tool.name: tool for tool in await asked(ToolExecutorStub(channel), peer, place.folder.name, CONNECT_SECONDS)}
            except (TransientError, ToolFailed) as error:
                raise BadInput(str(error)) from None
        if missing := [name for name in self._names if name not in found and name not in place.accepted]:
            raise BadInput(f"{peer.address} has no tool {missing[0]!r}; it has {', '.join(sorted(found)) or 'none'}"[:1000])
        return [wire.definition(found[name]) for name in self._names if name in found]

    @property
    def _names(self) -> dict[str, str]:
        return self.allowed if isinstance(self.allowed, dict) else {name: name for name in self.allowed}

    def _peer(self, place: Place, access: Access) -> Peer:
        address = access.endpoints.get(self.server, self.server).removeprefix("grpc://").rstrip("/")
        if ":" not in address:
            raise BadInput(f'there is no endpoint {self.server!r}: set PERDURE_ENDPOINTS=\'{{"{self.server}": "host:port"}}\'')
        peer = self.tls.peer(address, place.folder, access) if self.tls else Peer(address)
        return peer.checked(plaintext=self.plaintext, otherwise=f"give the source {place.name} `tls`, or `plaintext: true`")

    def _bound(self, name: str, accepted: Definition, executor: Executor) -> Tool:
        said = dict(accepted.declared)
        lookup = bool(said.pop("lookup", False))
        # Its own secrets are read where it runs; here only the key of our certificate is needed.
        for unbound in ("secrets", wire.HIDES):
            said.pop(unbound, None)
        if undo := said.get("compensate_with"):
            said["compensate_with"] = self._names.get(undo, undo)
        try:
            declared = Declaration.model_validate(said)
        except ValidationError as error:
            problem = error.errors()[0]
            raise BadInput(f"tool {name} declares a wrong {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
        keys = (self.tls.key,) if self.tls and self.tls.key else ()
        return bound(name, declared, accepted, executor, lookup=lookup, secrets=keys)


def _mend(place: Place) -> str:
    return f"`starter.py tools pin {place.folder.name}` shows it and accepts it"
