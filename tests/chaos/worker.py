"""A worker that dies on order: `python -m tests.chaos.worker --orders FILE --journals FOLDER --lock FILE`, with a worker's environment.

It makes everything ready, waits until it holds the lock, and only then works: the one behind it is a warm spare, whose turn comes
at the moment at which this one is killed.
"""

import argparse
import asyncio
import fcntl
import os
import signal
from dataclasses import replace
from pathlib import Path

from temporalio.client import Client

import logs
import worker
from activities.sweeper import Sweeper
from settings import Settings
from tests.chaos.boundaries import Orders, Watch
from tests.chaos.parts import WatchedDatabase, WatchedModel, WatchedRegistry, WatchedRunner, Watching


async def run(settings: Settings, watch: Watch, lock: Path) -> None:
    """Wait for the turn, and work until SIGTERM."""
    assert settings.database_url is not None
    database = await WatchedDatabase.connect(settings.database_url.get_secret_value(), size=settings.database_pool)
    database.watch = watch
    made = replace(worker.services(settings, database), registry=WatchedRegistry(settings.automations, watch))
    configured = (await worker.connect(settings)).config()
    configured["interceptors"] = [Watching(watch, database)]
    client = Client(**configured)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with lock.open("w") as held:
        async with worker.model_of(settings) as model:
            # Made before its turn, which is what takes time; it polls only when it is entered.
            hand = worker.make(settings, client, made, WatchedModel(model, watch), WatchedRunner(worker.RUNNER, watch))
            watch.said("warm")
            # In a thread that nobody waits for: a spare that is stopped before its turn just ends.
            turn = asyncio.get_running_loop().run_in_executor(None, fcntl.flock, held, fcntl.LOCK_EX)
            await asyncio.wait([turn, asyncio.ensure_future(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                os._exit(0)
            watch.said("working")
            async with hand:
                sweeping = asyncio.create_task(Sweeper(database, client, settings.tenant).run())
                await stop.wait()
                sweeping.cancel()
    await database.close()


def main() -> None:
    """Work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=Path, required=True)
    parser.add_argument("--journals", type=Path, required=True)
    parser.add_argument("--lock", type=Path, required=True)
    given = parser.parse_args()
    logs.configure("json")
    watch = Watch(given.journals / f"{os.getpid()}.jsonl", Orders(given.orders))
    asyncio.run(run(Settings(), watch, given.lock))


if __name__ == "__main__":
    main()
