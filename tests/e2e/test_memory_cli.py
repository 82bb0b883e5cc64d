"""Memory on a machine that is up: what is imported is recalled by its meaning, and what is forgotten is not."""

import json
from pathlib import Path

from tests.machine import Machine

SAID = [("m1", "ann", "The kitchen needs a new kettle"), ("m2", "bob", "Zelda moves the release to Friday")]
AT = "2026-01-05T10:00:00Z"
LINES = [{"id": id, "tenant": "acme", "session": "s1", "speaker": speaker, "text": text, "at": AT} for id, speaker, text in SAID]


async def test_a_file_is_imported_and_recalled_and_somebody_of_it_forgotten(own: Machine, tmp_path: Path) -> None:
    said, asked = tmp_path / "said.jsonl", tmp_path / "asked.jsonl"
    said.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    asked.write_text(json.dumps({"id": "q1", "query": "When is the release?", "tenant": "acme", "filter": {}}) + "\n")
    first = await own.starter("memory", "import", str(said), "--json")
    assert (first.code, first.json["new"], first.json["created"]) == (0, 2, ["acme"])
    found = (await own.starter("memory", "recall", "--queries", str(asked), "--k", "1", "--json")).json
    assert (found["id"], found["mode"], [hit["id"] for hit in found["hits"]]) == ("q1", "exact", ["m2"])
    gone = await own.starter("memory", "forget", "Zelda", "--yes", "--tenant", "acme", "--json")
    assert (gone.code, gone.json["complete"]) == (0, True)
    again = await own.starter("memory", "import", str(said), "--json")
    assert (again.code, again.json["new"], again.json["duplicate"]) == (0, 0, 2)
    shown = await own.starter("memory", "show", "m2", "--tenant", "acme")
    assert "[forgotten] moves the release" in shown.out and "Zelda" not in shown.out
