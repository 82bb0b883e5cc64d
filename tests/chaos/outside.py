"""What reached the outside world, read where it arrived: every effect with its key and its body."""

import json
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from devstack.journal import Journal
from tests.arrivals import front_matter
from tests.chaos import receiver
from tests.chaos.shapes import CONTENT, PIECES


@dataclass(frozen=True, slots=True)
class Arrival:
    """One effect as it arrived. key: an effect's key, or what the other side knows it by. body: what was asked, the run in it."""

    key: str
    body: str
    step: str


class Outside:
    """The logs of the receiver, the social network, the mailbox and the site."""

    def __init__(self, folder: Path, files: Path) -> None:
        self._errands, self._social, self._mail = Journal(folder / "receiver" / receiver.FILE), folder / "social", folder / "mail"
        self._site = files / "default" / CONTENT / "site" / "posts"

    def happened(self, key: str) -> bool:
        """Look whether the effect of a key has arrived."""
        mailed = sha256(key.encode()).hexdigest()[:32]
        if any(mailed in line["message_id"] for line in Journal(self._mail / "deliveries.jsonl").read()):
            return True
        return any(line["event"] == "acted" and line["key"] == key for line in self._errands.read())

    def arrivals(self) -> dict[str, list[Arrival]]:
        """Return everything that arrived, by run: a lineage, or the workflow ID of one that publishes."""
        found: defaultdict[str, list[Arrival]] = defaultdict(list)
        for line in self._errands.read():
            if line["event"] == "acted":
                body = line["body"]
                step = f"{body['step']}/undo" if "drops" in body else body["step"]
                found[body["run"]].append(Arrival(line["key"], json.dumps(body, sort_keys=True), step))
        for run, arrival in self._published():
            found[run].append(arrival)
        return found

    def _published(self) -> list[tuple[str, Arrival]]:
        """Return what content-ops published; each title ends with its run's number."""
        made: list[tuple[str, str, str]] = []
        for path in sorted(self._site.glob("*.md")):
            head = front_matter(path.read_text())
            made.append((head["key"], head["title"], "blog"))
        for line in Journal(self._mail / "deliveries.jsonl").read():
            made.append((line["message_id"].strip("<>").partition("@")[0], line["subject"], "newsletter"))
        for line in Journal(self._social / "posts.jsonl").read():
            if line["event"] == "posted":
                made.append((line["key"], line["post"]["content"]["title"], "social"))
        return [(f"{PIECES.name}-{title.rpartition(' ')[2]}", Arrival(key, f"{step}: {title}", step)) for key, title, step in made]
