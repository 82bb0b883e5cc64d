"""What content-ops has published, counted where it arrived: site folder, mailbox and social network."""

from collections import Counter
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import yaml

from channels.explain import Explained
from devstack.journal import Journal

ATTEMPTS = 3  # a step's `n` rises by one each time a person lets it be tried again


@dataclass(frozen=True)
class Arrived:
    """Arrivals of one run, copies too. A post that was deleted is still an arrival."""

    posts: list[str]
    mails: list[Path]
    social: list[dict[str, Any]]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many posts, mails and social posts."""
        return len(self.posts), len(self.mails), len(self.social)

    @property
    def each_once(self) -> bool:
        """Whether no key and no message arrived twice."""
        keys = [*(front_matter(post)["key"] for post in self.posts), *(line["key"] for line in self.social), *self.mails]
        return not keys or max(Counter(keys).values()) == 1


def of_run(state: Path, found: Explained) -> Arrived:
    """Count what one run published."""
    lineage, automation = found.run.lineage, found.run.automation
    posts = [path.read_text() for path in sorted((state / "files" / "default" / automation / "site" / "posts").glob("*.md"))]
    keys = {f"{lineage}/{step.step}/{n}" for step in found.steps for n in range(1, ATTEMPTS + 1)}
    ids = {sha256(key.encode()).hexdigest()[:32] for key in keys}
    mails = Journal(state / "mail" / "deliveries.jsonl").read()
    social = Journal(state / "social" / "posts.jsonl").read()
    return Arrived(
        posts=[post for post in posts if front_matter(post)["key"] in keys],
        mails=[state / "mail" / line["file"] for line in mails if line["message_id"].strip("<>").split("@")[0] in ids],
        social=[line for line in social if line.get("key") in keys],
    )


def front_matter(post: str) -> dict[str, Any]:
    """Return what stands above a blog post."""
    return yaml.safe_load(post.split("---\n")[1])


def mail(path: Path) -> EmailMessage:
    """Read a kept mail."""
    return cast(EmailMessage, message_from_bytes(path.read_bytes(), policy=SMTP))
