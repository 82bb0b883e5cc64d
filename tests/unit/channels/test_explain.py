"""What a record of access says: who changed what of the directory, and who was refused what."""

from typing import Any

import pytest

from channels.explain import moment

ANN: dict[str, Any] = {
    "person": "ann",
    "name": "Ann",
    "role": "approver",
    "groups": ["finance"],
    "disabled": False,
    "by": "root",
    "why": "",
}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**ANN, "event": "person added"}, "root: person added, ann as approver in finance"),
        ({**ANN, "event": "person changed", "groups": [], "disabled": True}, "root: person changed, ann as approver, disabled"),
        (
            {"event": "delegated", "giver": "ann", "taker": "bob", "groups": ["finance"], "until": "2026-12-01", "by": "ann", "why": ""},
            "ann: delegated, bob for ann in finance until 2026-12-01",
        ),
        ({"event": "delegation revoked", "id": "del-1", "by": "ann", "why": ""}, "ann: delegation revoked, del-1"),
        (
            {"event": "token minted", "token": "tok-1", "person": "ann", "scopes": ["read"], "expires": "2026-12-01", "by": "", "why": ""},
            "somebody unnamed: token minted, tok-1 of ann for read until 2026-12-01",
        ),
        ({"event": "token revoked", "token": "tok-1", "by": "ann", "why": ""}, "ann: token revoked, tok-1"),
        ({"event": "logged in", "signal": "by link", "by": "ann", "why": "", "channel": "web"}, "logged in by link from ann"),
        ({"event": "refused", "signal": "pause", "by": "eve", "why": "not allowed"}, "refused pause from eve: not allowed"),
        ({"event": "refused", "signal": "pause", "by": "", "why": "no token"}, "refused pause: no token"),
    ],
)
def test_a_record_of_access_is_one_sentence(body: dict[str, Any], said: str) -> None:
    assert moment({"kind": "access", "body": body, "step": None, "at": None}, {}).text == said
