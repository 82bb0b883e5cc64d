"""Whom we forget: which names are none, and how they are hidden under a key."""

import stat
import threading
from pathlib import Path

import pytest

from contracts.errors import BadInput
from memory import naming
from memory.tombstones import checked, digest, secret


@pytest.mark.parametrize("name", ["", "x", "-", "___", "a_", "default", "Import", "x" * 201])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no name to forget"):
        checked(name)


def test_a_hash_is_another_in_each_tenant_and_under_each_key() -> None:
    hashes = {digest(tenant, name, key) for tenant in ("a", "b") for name in ("ann", "bob") for key in (b"k", b"l")}
    assert len(hashes) == 8 and {len(one) for one in hashes} == {32}


def test_the_secret_comes_from_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "given")
    assert secret() == b"given"


def test_elsewhere_than_on_one_machine_the_secret_must_be_set() -> None:
    with pytest.raises(BadInput, match="set PERDURE_SECRET_MEMORY_KEY"):
        secret()


def test_one_machine_makes_a_key_once_and_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_STATE", str(tmp_path))
    monkeypatch.setenv("PERDURE_ONE_MACHINE", "true")
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(secret())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8 and len(set(keys)) == 1 and len(keys[0]) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["memory.key"]
    assert stat.S_IMODE((tmp_path / "memory.key").stat().st_mode) == 0o600
    assert secret() == keys[0] == bytes.fromhex((tmp_path / "memory.key").read_text())


def test_a_mark_is_no_name() -> None:
    with pytest.raises(BadInput):
        checked(naming.MARK)
