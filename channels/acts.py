"""What each act asks of a person: one table for the command line, the console and Slack."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from ledger.directory import Person, Role

NEEDS: Mapping[str, Role] = MappingProxyType(
    {
        "rule": "approver", "delegate": "approver", "review": "approver",
        "pause": "operator", "resume": "operator", "cancel": "operator", "retry": "operator", "fork": "operator", "undo": "operator",
        "move": "operator", "reconcile": "operator",
        "apply": "admin", "people": "admin", "forget": "admin", "keep": "admin", "expire": "admin", "models": "admin", "mend": "admin",
    }
)  # fmt: skip
"""Act -> the least role."""
SCOPES: Mapping[Role, str] = MappingProxyType({"viewer": "read", "approver": "decide", "operator": "operate", "admin": "admin"})
"""What a token must be allowed for what needs a role."""


def obstacle(person: Person, role: Role, scopes: Collection[str] | None = None) -> str | None:
    """Say why somebody may not do what needs a role; None where they may. scopes: the token's, where one said who it is."""
    if scopes is not None and SCOPES[role] not in scopes:
        return f"not allowed: the token needs the scope {SCOPES[role]}"
    if not person.at_least(role):
        return f"not allowed: needs the role {role}, and {person.id} is {'disabled' if person.disabled else person.role}"
    return None
