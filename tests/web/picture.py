"""Makes the picture of the web view in the documentation: `python tests/web/picture.py docs/web.png`.

It needs what the browser tests need. The tasks and their runs are made here, by a scheduler on a store in a folder that
is removed at the end.
"""

import asyncio
import logging
import os
import random
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from playwright.async_api import async_playwright

from scheduler import RunStatus, TaskDefinition, TaskScheduler, parse_schedule, web

TASKS = [
    ("Inbox triage", "every 30 minutes", "Europe/Berlin", "Triage the inbox."),
    ("Backup check", "every 2 hours", "UTC", "Check the backups."),
    ("Morning digest", "every weekday at 8:30am", "America/New_York", "What is new?"),
    ("Competitor scan", "every day at 7am", "Asia/Tokyo", "What do the others do?"),
    ("Invoice chaser", "every Monday at 9am", "Europe/Berlin", "Ask about open invoices."),
    ("Newsletter", "on the 1st of every month at 10am", "Europe/Berlin", "Write the newsletter."),
    ("Research", "every day at 3am", "UTC", "Research for a long time."),
]
PROPOSAL = {
    "action_requests": [{"name": "send_email", "args": {"to": "customers@example.com", "subject": "November"}}],
    "review_configs": [],
}
USAGE = {"input_tokens": 812, "output_tokens": 140, "total_tokens": 952}
CHANCE = random.Random(7)


async def answer(state: MessagesState):
    prompt = state["messages"][-1].text
    if prompt == "Write the newsletter.":
        return {"messages": [AIMessage(str(interrupt(PROPOSAL)))]}
    if prompt == "Ask about open invoices.":
        return {"messages": [AIMessage(str(interrupt("Send a reminder to Acme, 40 days late?")))]}
    if prompt == "Research for a long time.":
        await asyncio.Event().wait()
    if CHANCE.random() < 0.1:
        raise ConnectionError(f"HTTP 429 Too Many Requests, retry after {CHANCE.randint(5, 60)} s")
    return {"messages": [AIMessage("Three new issues, two of them about time zones.", usage_metadata=USAGE)]}


def tasks():
    for name, schedule, zone, prompt in TASKS:
        task_id = name.lower().replace(" ", "-")
        yield TaskDefinition(id=task_id, name=name, prompt=prompt, **parse_schedule(schedule, timezone=zone))


async def seed(scheduler):
    """Give the tasks a past, and have some of them run or ask."""
    scheduler.add_tasks(tasks())
    scheduler.start()
    now = datetime.now(UTC)
    for task_id in ("inbox-triage", "backup-check", "competitor-scan", "morning-digest"):
        scheduler.backfill_task(task_id, now - timedelta(hours=30), now, max_concurrent=5, force=True)
    for task_id in ("invoice-chaser", "newsletter", "research"):
        scheduler.trigger_task(task_id)
    while scheduler.list_runs(status=RunStatus.PENDING) or len(scheduler.list_runs(status=RunStatus.RUNNING)) > 1:
        await scheduler.scheduler.pass_done.wait()


async def picture(url, file):
    browser_file = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))))
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=browser_file, args=arguments)
        size = {"width": 1280, "height": 980}
        page = await browser.new_page(viewport=size, timezone_id="Europe/Berlin")
        await page.goto(url)
        await page.get_by_text("Times are in Europe/Berlin").wait_for()
        await page.screenshot(path=file)
        await browser.close()


async def main(file):
    logging.getLogger("scheduler").addHandler(logging.NullHandler())
    graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "scheduler.db")
        options = {"checkpointer": InMemorySaver(), "poll_interval": 0.05, "shutdown_grace_seconds": 0}
        async with TaskScheduler(db_path=store, graph=graph, **options) as scheduler:
            await seed(scheduler)
            async with web.served(scheduler, port=0, title="Acme agents") as view:
                await picture(view.sign_in_url, file)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
