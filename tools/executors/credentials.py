"""How an HTTP service learns who calls: by a secret that a manifest names."""

import base64
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tools.calls import Incapable
from tools.contract import SECRET

SHORTEST = 4
"""Characters of a password that is struck out where it stands alone: a shorter one would strike half of every answer."""
SecretName = Annotated[str, Field(pattern=f"^{SECRET}$")]


class Auth(BaseModel):
    """How calls say who they are: by the names of secrets, never by their values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bearer: SecretName | None = None
    basic: SecretName | None = None
    """A secret of the form `user:password`."""
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] | None = None
    secret: SecretName | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.bearer is not None, self.basic is not None, self.header is not None]
        if sum(ways) != 1 or (self.header is None) != (self.secret is None):
            raise ValueError("one of {bearer: SECRET}, {basic: SECRET} and {header: X-Name, secret: SECRET} is expected")
        return self

    @property
    def name(self) -> str:
        """The name of the secret."""
        return self.bearer or self.basic or self.secret or ""

    def sent(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the other forms in which an answer may show the secret, each by a name. Raises: as `headers`."""
        if not self.basic or self.basic not in secrets:
            return {}
        forms = {f"{self.basic} in base64": self.headers(secrets)["Authorization"].removeprefix("Basic ")}
        password = secrets[self.basic].partition(":")[2]
        return {**forms, f"{self.basic}'s password": password} if len(password) >= SHORTEST else forms

    def headers(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the header that shows the secret. Raises: Incapable naming a secret that is not set, or cannot be shown."""
        if not (value := secrets.get(self.name)):
            raise Incapable(f"the secret {self.name} is not set on this worker")
        if not value.isprintable() or (self.basic is None and not value.isascii()):
            raise Incapable(f"the secret {self.name} holds a character that no header may hold")
        if self.basic:
            return {"Authorization": f"Basic {base64.b64encode(value.encode()).decode()}"}
        return {self.header: value} if self.header else {"Authorization": f"Bearer {value}"}
