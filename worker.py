"""The worker: settings become clients, clients become activities, and both poll one task queue."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
import uvloop
from openai import AsyncOpenAI
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

import logs
from activities.act import Acting
from activities.embedder import embedders_of
from activities.expiry import Expiring
from activities.forks import Forking
from activities.indexer import Indexer
from activities.interceptor import Boundary
from activities.model import Model
from activities.operations import Operating
from activities.propose import Proposing
from activities.recall_watch import RecallWatch
from activities.reconcile import Reconciling
from activities.rulings import Ruling
from activities.runs import Opening
from activities.services import Services, services
from activities.sweeper import Sweeper
from activities.undo import Undoing
from channels import metrics_page
from contracts.converter import DATA_CONVERTER
from contracts.errors import BadInput, PerdureError
from database import Database
from settings import Settings
from workflows.orchestrator import Orchestrator
from workflows.undoing import Undo
from workflows.unknown import Unknown
from workflows.upkeep import Expire, Reconcile

LOG = structlog.get_logger(__name__)
WORKFLOWS = [Expire, Orchestrator, Reconcile, Undo, Unknown]
# Workflow code imports contracts and the SDK only, and keeps nothing in its modules: tests see to both, and run it in SANDBOX, which
# watches every module. Workers run it outside: the sandbox is entered for every payload, and takes a fifth of a worker's CPU.
SANDBOX = SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules("contracts"))
RUNNER = UnsandboxedWorkflowRunner()


def make(settings: Settings, client: Client, shared: Services, model: Model, runner: WorkflowRunner = RUNNER) -> Worker:
    """Return a worker that runs Perdure's workflows and activities."""
    opening, acting, ruling = Opening(shared), Acting(shared), Ruling(shared)
    proposing, undoing = Proposing(shared, model), Undoing(shared)
    reconciling = Reconciling(shared, client, settings.task_queue)
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=WORKFLOWS,
        activities=[
            *(opening.open_run, opening.close_run, proposing.propose, acting.act, acting.give_up),
            *(undoing.undo, ruling.rule, ruling.climb, reconciling.reconcile, Operating(shared).look, Forking(shared).inherit),
            Expiring(shared.database).expire,
        ],
        interceptors=[Boundary()],
        workflow_runner=runner,
        max_cached_workflows=settings.max_cached_workflows,
        max_concurrent_activities=100,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=settings.sticky_seconds),
        # A cancel comes back with a heartbeat, so heartbeats must not be saved up.
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
        graceful_shutdown_timeout=timedelta(seconds=settings.graceful_seconds),
    )


@asynccontextmanager
async def model_of(settings: Settings) -> AsyncGenerator[Model]:
    """Open the client of the model's endpoint. Its own retries are off: Temporal is the only owner of retries."""
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none"
    async with AsyncOpenAI(base_url=settings.openai_base_url, api_key=key, max_retries=0, timeout=settings.model_timeout) as client:
        yield Model(client, settings.model)


async def connect(settings: Settings, runtime: Runtime | None = None) -> Client:
    """Connect to Temporal."""
    return await Client.connect(
        **settings.temporal, data_converter=DATA_CONVERTER, runtime=runtime, identity=f"perdure@{socket.gethostname()}"
    )


def free_port() -> int:
    """Return a port of loopback that nobody holds now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; activities that run then get their time to end."""
    if settings.database_url is None:
        raise BadInput("there is no database: run `starter.py up`, or set PERDURE_DATABASE_URL")
    core_port = free_port()
    prometheus = PrometheusConfig(
        bind_address=f"127.0.0.1:{core_port}", counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
    client = await connect(settings, Runtime(telemetry=TelemetryConfig(metrics=prometheus)))
    database = await Database.connect(settings.database_url.get_secret_value(), size=settings.database_pool)
    stop = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, stop.set)
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(model_of(settings))
        embedders = await stack.enter_async_context(embedders_of(settings, database))
        shared = services(settings, database, embedders)
        await stack.enter_async_context(make(settings, client, shared, model))
        sweeper, watch = Sweeper(database, client, settings.tenant), RecallWatch(database, settings.tenant)
        indexer = Indexer(database, embedders, settings.tenant)
        page = metrics_page.page(core_port, database.check)
        LOG.info("working", task_queue=settings.task_queue, metrics=f"{settings.metrics_host}:{settings.metrics_port}")
        beside = [
            asyncio.create_task(sweeper.run()),
            asyncio.create_task(indexer.run()),
            asyncio.create_task(watch.run()),
            asyncio.create_task(metrics_page.serve(page, settings.metrics_host, settings.metrics_port)),
        ]
        await stop.wait()
        LOG.info("stopping")
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    await shared.registry.close()
    await database.close()


def main() -> None:
    """Run a worker with the settings of this machine."""
    parser = argparse.ArgumentParser(description="Runs workflows and activities until SIGTERM.")
    parser.add_argument("--build", help="names this code in records; without it PERDURE_BUILD does")
    build = parser.parse_args().build
    settings = Settings()
    logs.configure(settings.log_format)
    try:
        uvloop.run(run(settings.model_copy(update={"build": build}) if build else settings))
    except PerdureError as error:
        sys.exit(f"worker: {error}")


if __name__ == "__main__":
    main()
