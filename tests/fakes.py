"""Small doubles for unit tests."""

from typing import Any

from tools import Document, ToolFailed


class MemoryDocuments:
    """Documents of one automation, in memory; it keeps what `tools.documents.Documents.put` promises."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Document] = {}

    async def get(self, kind: str, id: str) -> Document | None:
        return self.kept.get((kind, id))

    async def list(self, kind: str) -> list[Document]:
        return [document for (of, _), document in sorted(self.kept.items()) if of == kind]

    async def put(self, kind: str, id: str, body: dict[str, Any], *, writer: str, version: int | None = None) -> Document:
        before = self.kept.get((kind, id))
        if before and before.written_by == writer:
            return before
        if version is not None and version != (before.version if before else 0):
            raise ToolFailed(f"{kind} {id} has changed meanwhile")
        self.kept[kind, id] = Document(kind, id, before.version + 1 if before else 1, body, writer)
        return self.kept[kind, id]

    async def delete(self, kind: str, id: str) -> bool:
        return self.kept.pop((kind, id), None) is not None
