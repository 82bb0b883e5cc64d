"""`memory expire`: what is over a tenant's retention policy goes, in batches."""

from collections import Counter

from temporalio import activity

from contracts import names
from contracts.upkeep import ExpireRequest, ExpireResult
from database import Database
from memory import retention


class Expiring:
    """Takes away, for one tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name=names.EXPIRE)
    async def expire(self, request: ExpireRequest) -> ExpireResult:
        """Take away what is over the policy. Safe to retry: what is gone is not found again."""
        return await self.take_away(request)

    async def take_away(self, request: ExpireRequest) -> ExpireResult:
        """Take away what is over the policy, whoever asks. Each batch commits, so that writers never wait for long."""
        counts = Counter[str]()
        while True:
            async with self._database.transaction(request.tenant) as tx:
                gone = await retention.expire(tx)
            counts.update(gone)
            if not any(gone.values()):
                return ExpireResult(gone=dict(counts))
