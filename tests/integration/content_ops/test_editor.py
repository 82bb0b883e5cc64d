"""content-ops with a larger model: it reads whole notes and writes the pieces itself."""

import shutil
from pathlib import Path

from database import Database
from settings import ROOT
from tests.house import opened

PIECE = {"source": "retries.md", "title": "Retries that do no harm", "text": "A second call should change nothing."}
LOOK_UP = {"tool": "note.read", "arguments": {"source": "retries.md"}}


async def test_the_editor_reads_a_note_and_its_own_words_are_vetted_and_published(
    database: Database, temporal_address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "automations"
    shutil.copytree(ROOT / "automations" / "content-ops", folder / "content-ops", ignore=shutil.ignore_patterns("__pycache__"))
    configuration = folder / "content-ops" / "automation.yaml"
    configuration.write_text(configuration.read_text().replace("planner: planner\n", "planner: editor\n", 1))
    script = (
        {"answer": {"look_ups": [LOOK_UP]}},
        {"answer": {"steps": [{"id": "post", "tool": "blog", "arguments": PIECE, "why": "it is useful"}], "done": True}},
    )
    async with opened(database, temporal_address, tmp_path, folder=folder, apply=("content-ops",)) as house, house.worker():
        notes = folder / "content-ops" / "examples" / "notes"
        handle = await house.start(*script, input={"sources": str(notes), "theme": "running services", "first_slot_seconds": 0})
        request = (await house.waiting(handle)).waiting[0]
        assert request.arguments["text"] == "A second call should change nothing.\n"
        await house.decide(handle, request.id)
        assert await house.ended(handle) == "COMPLETED"
        found = await house.explained(handle)
    decision = next(moment for moment in found.timeline if moment.kind == "decision")
    assert [(read["tool"], read["by"]) for read in decision.body["reads"]] == [
        ("sources.read", "configuration"),
        ("memory.recall", "configuration"),
        ("note.read", "model"),
    ]
    (post,) = (tmp_path / "files" / "default" / "content-ops").glob("site/posts/*.md")
    assert post.read_text().endswith("---\n\nA second call should change nothing.\n")
