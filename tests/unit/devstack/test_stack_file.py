"""What the running parts say of themselves."""

import multiprocessing
from pathlib import Path

import pytest

from contracts.errors import StackError
from devstack import stack_file
from settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PERDURE_STATE", str(tmp_path / "state"))
    return Settings()


def hold(state: Path, held: "multiprocessing.synchronize.Event", done: "multiprocessing.synchronize.Event") -> None:
    with stack_file.alone(Settings(state=state)):
        held.set()
        done.wait(30)


def test_without_a_file_nothing_is_said(settings: Settings) -> None:
    assert stack_file.read(settings) == {}


def test_what_is_written_is_what_new_settings_say(settings: Settings) -> None:
    stack_file.write(settings, {"database_url": "postgresql://x", "one_machine": True})
    again = Settings()
    assert again.database_url
    assert again.database_url.get_secret_value() == "postgresql://x"
    assert again.one_machine


def test_a_file_that_holds_logins_is_for_its_owner_only(settings: Settings) -> None:
    stack_file.write(settings, {"database_url": "postgresql://x"})
    assert (settings.state / "stack.json").stat().st_mode & 0o077 == 0


def test_nothing_to_say_leaves_no_file(settings: Settings) -> None:
    stack_file.write(settings, {"model": "m"})
    stack_file.write(settings, {})
    assert not (settings.state / "stack.json").exists()


def test_reread_settings_follow_the_file_and_keep_what_was_given(settings: Settings) -> None:
    stack_file.write(settings, {"model": "old", "smtp_url": "smtp://gone"})
    before = stack_file.read(settings)
    given = Settings(tenant="acme")
    stack_file.write(settings, {"model": "new"})
    again = stack_file.reread(given, before)
    assert (again.tenant, again.model, again.smtp_url) == ("acme", "new", None)


def test_reread_settings_keep_the_secrets_of_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_DATABASE_URL", "postgresql://me:secret@db/perdure")
    again = stack_file.reread(Settings(), {})
    assert again.database_url
    assert again.database_url.get_secret_value() == "postgresql://me:secret@db/perdure"


def test_reread_settings_do_not_mind_that_temporal_was_asked_for(settings: Settings) -> None:
    assert settings.temporal
    assert stack_file.reread(settings, {}) == Settings()


def test_two_cannot_change_the_stack_at_once(settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(settings.state, held, done))
    other.start()
    assert held.wait(30)
    with pytest.raises(StackError, match="another `up` or `down` is at work"), stack_file.alone(settings):
        pass
    done.set()
    other.join()
    with stack_file.alone(settings):
        pass
