"""A program that runs a scheduler whose graph is on a server; arguments: the store, the graph, further options."""

import ast
import asyncio
import sys

from scheduler import TaskScheduler


async def main():
    store, graph, options = sys.argv[1:]
    place = {"db_url": store} if "://" in store else {"db_path": store}
    async with TaskScheduler(**place, graph=graph, poll_interval=0.05, **ast.literal_eval(options)):
        print("started", flush=True)  # noqa: T201 (whoever watches waits for it)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
