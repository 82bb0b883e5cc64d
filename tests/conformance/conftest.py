"""The tools of the conformance suite, served by one kind of executor after the other."""

from collections.abc import AsyncGenerator

import pytest

from tests.conformance.kinds import KINDS, Served


@pytest.fixture(scope="module", params=list(KINDS))
async def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _own_environment: None
) -> AsyncGenerator[Served]:
    """The tools, by one kind of executor."""
    async with KINDS[request.param](tmp_path_factory.mktemp(request.param)) as made:
        yield made
