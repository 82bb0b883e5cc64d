"""The one frozen Settings, and the only reader of the environment.

A value comes from the environment, else from `.perdure/stack.json` (which `starter.py up` writes), else from its default.
"""

import json
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from temporalio.envconfig import ClientConfig

ROOT = Path(__file__).resolve().parent


def _absolute(path: Path) -> Path:
    # Processes that read the same environment run in other folders.
    return path.expanduser().absolute()


Folder = Annotated[Path, AfterValidator(_absolute)]


class StackFile(PydanticBaseSettingsSource):
    """What the running one-machine stack says of itself: below the environment, above the defaults."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = _absolute(Path(self.current_state.get("state", ROOT / ".perdure"))) / "stack.json"
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        # The environment names some fields by an alias; a source must answer under the name pydantic looks up.
        fields = self.settings_cls.model_fields
        given = {key for key, value in self.current_state.items() if value is not None}
        return {key: value for key, value in found.items() if key in fields and key not in given}


class Settings(BaseSettings):
    """All that may differ between two installations. Names in the environment: PERDURE_ and the field's name."""

    model_config = SettingsConfigDict(env_prefix="PERDURE_", frozen=True, extra="ignore", populate_by_name=True)

    state: Folder = ROOT / ".perdure"
    cache: Folder = Path.home() / ".cache" / "perdure"
    automations: Folder = ROOT / "automations"

    tenant: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    task_queue: str = "perdure"
    one_machine: bool = False
    """True where `starter.py up` made the stack: only there an unsigned ruling may be believed."""

    temporal_address: str | None = Field(default=None, validation_alias=AliasChoices("temporal_address", "TEMPORAL_ADDRESS"))
    temporal_port: int = 7233
    temporal_ui_port: int = 8233

    database_url: SecretStr | None = None
    owner_database_url: SecretStr | None = None
    """Where migrations run from; the same as database_url unless another login owns the tables."""
    database_pool: int = Field(default=20, ge=2, description="connections a worker keeps at most")

    openai_base_url: str | None = Field(default=None, validation_alias=AliasChoices("openai_base_url", "OPENAI_BASE_URL"))
    openai_api_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("openai_api_key", "OPENAI_API_KEY"))
    model: str | None = None
    """The model's name where a bundle's route says `auto`."""
    model_port: int = 8411
    model_timeout: float = Field(default=120.0, gt=0, description="seconds one model call may take")

    embedding_base_url: str | None = None
    """An OpenAI-compatible endpoint for embeddings; without it the packaged model makes them."""
    embedding_api_key: SecretStr | None = None
    embedding_model: str | None = None
    embedding_micros_per_million: int | None = Field(default=None, ge=0, le=10**9)
    """What the endpoint asks for a million tokens, in micro-dollars: 20000 for $0.02; 0 where it is free."""
    embedding_day_micros: int | None = Field(default=None, gt=0, le=10**12)
    """The most that a tenant's embeddings may cost in a day (UTC), in micro-dollars; needed where there is a price."""

    smtp_url: str | None = None
    smtp_port: int = 8425
    receiver_url: str | None = None
    receiver_port: int = 8426

    endpoints: dict[str, str] = {}
    """Name -> URL of the services that tools call, as JSON."""
    zones: dict[str, str] = {}
    """Trust zone -> `host:port` of the tool server that runs its tools, as JSON."""
    tools_address: str = "127.0.0.1:8432"
    """Where `python -m tools.server` listens."""
    tools_certificate: Folder | None = None
    """PEM files of calls between workers and tool servers: one's own certificate and its key, and who signs the other side's."""
    tools_key: Folder | None = None
    tools_ca: Folder | None = None
    tools_plaintext: bool = False
    """Whether such calls may travel in clear beyond this machine, as where a service mesh encrypts them."""
    secrets: Folder | None = None
    """A folder with one file for each secret, as a cluster mounts them; PERDURE_SECRET_<NAME> comes first."""

    console_host: str = "127.0.0.1"
    console_port: int = 8431
    console_url: str | None = Field(default=None, pattern=r"^https?://[^/\s]+$")
    """What people type to reach the console, as `https://perdure.example`; None: this machine's own address."""
    console_key: str = "CONSOLE_KEY"
    """Name of the secret that signs the console's cookies."""
    oidc_issuer: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Who says who people are, by OpenID Connect."""
    oidc_client: str | None = None
    oidc_secret: str = "OIDC_SECRET"
    """Name of the secret with which the console proves itself to the issuer."""

    slack_api: str = Field(default="https://slack.com/api/", pattern=r"^https?://\S+/$")
    slack_host: str = "127.0.0.1"
    slack_port: int = 8434
    """Where Slack's deliveries come in over HTTP, as a proxy with TLS hands them on."""
    slack_channel: str | None = None
    """The id of the channel that shows requests whose groups have none of their own,"""
    slack_channels: dict[str, str] = {}
    """and approval group -> channel id, as JSON."""
    slack_alerts: str | None = None
    """The id of the channel that is told of broken glass and of reviewers to look at; None: see docs/slack.md."""
    fake_slack_port: int = 8435
    """Where `starter.py up --slack` serves a fake workspace."""
    slack_bot_token: str = "SLACK_BOT_TOKEN"
    """Names of secrets: the app's token (xoxb), what it is signed with over HTTP, and its token of socket mode (xapp)."""
    slack_signing_secret: str = "SLACK_SIGNING_SECRET"
    slack_app_token: str = "SLACK_APP_TOKEN"

    metrics_port: int = 9464
    metrics_host: str = "127.0.0.1"
    log_format: str = Field(default="console", pattern="^(console|json)$")
    build: str = "dev"
    """Names this code in records: an image's digest, a commit."""
    graceful_seconds: int = 30
    sticky_seconds: float = 5.0
    """How long a workflow waits for a worker that knows it before any other may take it."""
    heartbeat_seconds: float = 15.0
    max_cached_workflows: int = 1000

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, StackFile(settings_cls)

    def secret(self, name: str) -> str | None:
        """Return a secret by its name, None where it is not set. It is read anew each time, so that it may be rotated."""
        if value := os.environ.get(f"PERDURE_SECRET_{name}"):
            return value
        try:
            return (self.secrets / name).read_text().rstrip("\n") or None if self.secrets else None
        except OSError:
            return None

    @property
    def console_address(self) -> str:
        """What people type to reach the console."""
        return self.console_url or f"http://{self.console_host}:{self.console_port}"

    @cached_property
    def temporal(self) -> dict[str, Any]:
        """Arguments of `Client.connect`, from Temporal's own environment and profile, else the local server."""
        connect: dict[str, Any] = dict(ClientConfig.load_client_connect_config())
        connect.setdefault("target_host", self.temporal_address or f"127.0.0.1:{self.temporal_port}")
        connect.setdefault("namespace", "default")
        return connect


def inherited(names: Iterable[str]) -> dict[str, str]:
    """Return what a child process is given of this one's environment: these names, and nothing that is not set."""
    return {name: os.environ[name] for name in names if name in os.environ}
