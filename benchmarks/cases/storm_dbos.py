"""The storm on DBOS with its SQLite system database: one durable workflow for each task, from a queue."""

import asyncio
import threading
import time
import uuid
from typing import Any

from dbos import DBOS, DBOSClient

from benchmarks import graphs
from benchmarks.cases.storm import TASKS
from benchmarks.measure import stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.peers import ended, invoke

QUEUE = "storm"
graph: Any = None


@DBOS.workflow()
async def fire(task_id: str) -> None:
    """Invoke the graph for one workflow."""
    await invoke(graph, task_id)


def run(setting: Setting) -> Figures:
    """Enqueue all workflows while nobody serves the queue, then register it."""
    global graph  # noqa: PLW0603 (a workflow is a function of a module)
    number = setting.sized(TASKS)
    url = f"sqlite:///{setting.fresh_store()}"
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    graph = asyncio.run_coroutine_threadsafe(graphs.ready(), loop).result()
    DBOS(config={"name": "storm", "system_database_url": url, "run_admin_server": False, "log_level": "WARNING"})
    DBOS.launch()
    client = DBOSClient(system_database_url=url)
    with stopwatch() as adding:
        for _ in range(number):
            client.enqueue({"queue_name": QUEUE, "workflow_name": fire.__qualname__}, str(uuid.uuid4()))
    with stopwatch() as span:
        DBOS.register_queue(QUEUE, polling_interval_sec=0.1)
        while len(ended) < number or client.list_queued_workflows(limit=1):
            time.sleep(0.02)
    graphs.check_each_once(number)
    return {"seconds": span.seconds, "cpu_seconds": span.cpu, "add_us_per_task": adding.seconds / number * 1e6}
