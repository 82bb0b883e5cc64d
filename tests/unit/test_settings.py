"""Where a setting comes from."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from settings import ROOT, Settings


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERDURE_STATE", str(tmp_path))
    return tmp_path


def said(state: Path, **values: Any) -> None:
    (state / "stack.json").write_text(json.dumps(values))


def test_a_bare_environment_gives_the_defaults(state: Path) -> None:
    settings = Settings()
    assert (settings.tenant, settings.task_queue, settings.temporal_port) == ("default", "perdure", 7233)
    assert settings.database_url is None
    assert not settings.one_machine


def test_the_environment_is_read_with_our_prefix(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_TENANT", "acme")
    monkeypatch.setenv("PERDURE_DATABASE_POOL", "7")
    settings = Settings()
    assert (settings.tenant, settings.database_pool) == ("acme", 7)


def test_the_stack_file_stands_above_the_defaults(state: Path) -> None:
    said(state, model="gemma-3-270m", one_machine=True, openai_base_url="http://127.0.0.1:8411/v1", openai_api_key="local")
    settings = Settings()
    assert (settings.model, settings.one_machine, settings.openai_base_url) == ("gemma-3-270m", True, "http://127.0.0.1:8411/v1")
    assert settings.openai_api_key
    assert settings.openai_api_key.get_secret_value() == "local"


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("PERDURE_MODEL", "model"),
        ("PERDURE_SMTP_URL", "smtp_url"),
        ("TEMPORAL_ADDRESS", "temporal_address"),
        ("OPENAI_BASE_URL", "openai_base_url"),
    ],
)
def test_the_environment_stands_above_the_stack_file(state: Path, monkeypatch: pytest.MonkeyPatch, variable: str, field: str) -> None:
    said(state, **{field: "from the file"})
    monkeypatch.setenv(variable, "from the environment")
    assert getattr(Settings(), field) == "from the environment"


def test_what_is_given_in_the_program_stands_above_everything(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(state, openai_base_url="http://file/v1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment/v1")
    assert Settings(openai_base_url="http://given/v1").openai_base_url == "http://given/v1"


def test_a_stack_file_of_a_newer_version_is_read_for_what_is_known(state: Path) -> None:
    said(state, model="m", invented_later=1)
    assert Settings().model == "m"


def test_the_stack_file_lies_in_the_state_folder_that_is_given(tmp_path: Path) -> None:
    said(tmp_path, model="m")
    assert Settings(state=tmp_path).model == "m"


def test_a_relative_state_folder_means_the_same_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERDURE_STATE", "here")
    settings = Settings()
    assert settings.state == tmp_path / "here"


def test_a_state_folder_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PERDURE_STATE", "~/perdure")
    (tmp_path / "perdure").mkdir()
    said(tmp_path / "perdure", model="m")
    settings = Settings()
    assert (settings.state, settings.model) == (tmp_path / "perdure", "m")


@pytest.mark.parametrize("name", ["", "Acme", "a b", "-a", "a'b", "a" * 64])
def test_a_tenant_that_is_no_name_is_refused(state: Path, name: str) -> None:
    with pytest.raises(ValidationError, match="tenant"):
        Settings(tenant=name)


def test_settings_do_not_change(state: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().tenant = "other"  # type: ignore[misc]


def test_secrets_are_not_shown(state: Path) -> None:
    assert "hunter2" not in repr(Settings(database_url="postgresql://me:hunter2@db/perdure", openai_api_key="hunter2"))  # type: ignore[arg-type]


def test_temporal_is_the_local_server_unless_something_else_is_said(state: Path) -> None:
    assert Settings(temporal_port=7299).temporal == {"target_host": "127.0.0.1:7299", "namespace": "default"}


def test_temporals_own_variables_count(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "cluster:7233")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "agents")
    connect = Settings().temporal
    assert (connect["target_host"], connect["namespace"]) == ("cluster:7233", "agents")


def test_temporals_own_profile_counts(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text('[profile.default]\naddress = "profiled:7233"\nnamespace = "agents"\n')
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(profile))
    connect = Settings().temporal
    assert (connect["target_host"], connect["namespace"]) == ("profiled:7233", "agents")


def test_only_settings_reads_the_environment() -> None:
    library = ["contracts", "workflows", "activities", "memory", "ledger", "policies", "tools", "channels", "automations"]
    files = [path for folder in library for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in files if "os.environ" in path.read_text() or "getenv" in path.read_text()] == []
