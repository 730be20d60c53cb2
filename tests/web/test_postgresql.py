"""The pages on the other database."""

from helpers import hourly
from langgraph.checkpoint.memory import InMemorySaver
from postgres import postgres_server, postgres_url  # noqa: F401 (fixtures)
from web_kit import GRAPH, Browser, ran, until_run

from scheduler import RunStatus, web
from scheduler.web.application import PAGES


async def test_each_page_and_action_works_on_postgresql(new_scheduler, postgres_url):  # noqa: F811 (the fixture)
    """With tasks that ran, failed and ask, with filters, as JSON, and for who looks again."""
    scheduler = new_scheduler(GRAPH, checkpointer=InMemorySaver(), db_url=postgres_url)
    scheduler.add_tasks([hourly(), hourly("fails", prompt="Fail.", tags=["x"]), hourly("asks", prompt="Ask.")])
    scheduler.start()
    (run,) = await ran(scheduler, "hourly")
    await ran(scheduler, "fails")
    waiting = await until_run(scheduler, scheduler.trigger_task("asks"), RunStatus.WAITING)
    browser = Browser(web.app(scheduler, auth=web.anyone))
    more = [
        "runs?status=went_wrong&since=24",
        "tasks?search=fail&tag=x",
        "tasks?state=unusable",
        "metrics",
        "today.json",
    ]
    for page in [*PAGES, *more]:
        named = f"{'&' if '?' in page else '?'}id={run.id if page == 'run' else 'hourly'}"
        for headers in ({}, {"x-live": "1"}):
            response = await browser.get(page + named, headers=headers)
            assert response.status_code == 200, (page, response.text)
    for action in ("run-task", "pause-task", "resume-task", "remove-task"):
        assert (await browser.post(f"{action}?id=hourly")).status_code == 303, action
    await browser.do(f"answer-run?id={waiting.id}", q0="Yes.")
    assert (await until_run(scheduler, waiting.id, RunStatus.SUCCEEDED)).response == "You said 'Yes.'"
