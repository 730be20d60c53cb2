"""The storm on Huey: its SQLite storage with fsync, and sixteen worker threads that share one event loop."""

import asyncio
import threading
import time
import uuid

from huey import SqliteHuey

from benchmarks import graphs
from benchmarks.cases.storm import TASKS
from benchmarks.measure import stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.peers import ended, invoke
from benchmarks.stores import in_seconds

WORKERS = 16


def run(setting: Setting) -> Figures:
    """Schedule all tasks, then start the consumer."""
    number = setting.sized(TASKS)
    huey = SqliteHuey(filename=setting.fresh_store(), fsync=True, results=False, utc=True)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    graph = asyncio.run_coroutine_threadsafe(graphs.ready(), loop).result()

    @huey.task()
    def fire(task_id: str) -> None:
        asyncio.run_coroutine_threadsafe(invoke(graph, task_id), loop).result()

    run_at = in_seconds(0.1)
    with stopwatch() as adding:
        for _ in range(number):
            fire.schedule(args=(str(uuid.uuid4()),), eta=run_at)
    time.sleep(0.2)
    consumer = huey.create_consumer(workers=WORKERS, periodic=False, initial_delay=0.01, max_delay=0.1)
    with stopwatch() as span:
        consumer.start()
        while len(ended) < number:
            time.sleep(0.005)
    graphs.check_each_once(number)
    return {"seconds": span.seconds, "cpu_seconds": span.cpu, "add_us_per_task": adding.seconds / number * 1e6}
