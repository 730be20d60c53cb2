"""What people do on the pages. Each action is checked, done, and logged with who has done it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from scheduler import Decision, TaskScheduler, logbook
from scheduler.web.access import Action
from scheduler.web.answering import answers_from, quick_decisions
from scheduler.web.links import link
from scheduler.web.pages.edit import save_new_task, save_task
from scheduler.web.pages.runs import run_page, seen_run
from scheduler.web.pages.tasks import PAUSES
from scheduler.web.visit import Answer, Redirect, Refused, Visit


def run_task(scheduler: TaskScheduler, visit: Visit) -> Answer:
    """Run a task now, with another prompt if one is given."""
    visit.require(Action.RUN)
    task_id = visit.require_task(visit.required("id"))
    prompt = visit.form.get("prompt", "").replace("\r\n", "\n")
    run_id = scheduler.trigger_task(task_id, prompt=prompt if prompt.strip() else None)
    _log(visit, Action.RUN, task_id, run_id)
    return Redirect(link("./run", id=run_id, done=Action.RUN))


def pause_task(scheduler: TaskScheduler, visit: Visit) -> Answer:
    """Pause a task, for a time if one is given."""
    visit.require(Action.PAUSE)
    task_id = visit.require_task(visit.required("id"))
    hours, note = visit.form.get("hours", ""), visit.form.get("note", "").strip()
    if hours not in PAUSES:
        raise Refused(400, "hours is the length of the pause: 1, 4, 24 or 168; leave it out for no end.")
    until = visit.now + timedelta(hours=int(hours)) if hours else None
    scheduler.pause_task(task_id, until=until, note=note or None)
    _log(visit, Action.PAUSE, task_id)
    return Redirect(link("./task", id=task_id, done=Action.PAUSE))


def resume_task(scheduler: TaskScheduler, visit: Visit) -> Answer:
    """Resume a task."""
    visit.require(Action.RESUME)
    task_id = visit.require_task(visit.required("id"))
    scheduler.resume_task(task_id)
    _log(visit, Action.RESUME, task_id)
    return Redirect(link("./task", id=task_id, done=Action.RESUME))


def new_task(scheduler: TaskScheduler, visit: Visit) -> Answer:
    """Add a task, or show what is wrong with its form."""
    visit.require(Action.EDIT)
    answer, added = save_new_task(scheduler, visit)
    if added is not None:
        _log(visit, Action.EDIT, added)
    return answer


def edit_task(scheduler: TaskScheduler, visit: Visit) -> Answer:
    """Change a task, or show what is wrong with its form."""
    visit.require(Action.EDIT)
    answer, changed = save_task(scheduler, visit)
    if changed is not None:
        _log(visit, Action.EDIT, changed)
    return answer


def remove_task(scheduler: TaskScheduler, visit: Visit) -> Answer:
    """Remove a task."""
    visit.require(Action.REMOVE)
    task_id = visit.require_task(visit.required("id"))
    scheduler.remove_task(task_id)
    _log(visit, Action.REMOVE, task_id)
    return Redirect(link("./tasks", done=Action.REMOVE))


def cancel_run(scheduler: TaskScheduler, visit: Visit) -> Answer:
    """Stop a run."""
    visit.require(Action.CANCEL)
    run = seen_run(scheduler, visit)
    scheduler.cancel_run(run.id, f"stopped by {visit.access.user} in the web view")
    _log(visit, Action.CANCEL, run.task_id, run.id)
    return Redirect(link("./run", id=run.id, done=Action.CANCEL))


def retry_run(scheduler: TaskScheduler, visit: Visit) -> Answer:
    """Run a run again."""
    visit.require(Action.RETRY)
    run = seen_run(scheduler, visit)
    new = scheduler.retry_run(run.id, from_start=visit.form.get("from_start") == "yes")
    _log(visit, Action.RETRY, run.task_id, new)
    return Redirect(link("./run", id=new, done=Action.RETRY))


def answer_run(scheduler: TaskScheduler, visit: Visit) -> Answer:
    """Answer the questions of a run, or show what is wrong with the answers."""
    visit.require(Action.ANSWER)
    run = seen_run(scheduler, visit)
    if (kind := visit.form.get("quick")) is not None:
        if kind not in quick_decisions(run):
            raise Refused(409, f"Its questions are not decided with a button; open the run to answer them: {kind!r}.")
        scheduler.answer_run(run.id, Decision("approve" if kind == "approve" else "reject"))
    else:
        answers, filled = answers_from(run, visit.form)
        if any(each.has_problem for each in filled):
            return run_page(scheduler, visit, run, filled)
        scheduler.answer_run(run.id, answers)
    _log(visit, Action.ANSWER, run.task_id, run.id)
    return Redirect(link("./run", id=run.id, done=Action.ANSWER))


def _log(visit: Visit, action: Action, task_id: str, run_id: str | None = None) -> None:
    logbook.web_action(visit.access.user, action, task_id, run_id)


ACTIONS: Final[Mapping[str, Callable[[TaskScheduler, Visit], Answer]]] = {
    "run-task": run_task,
    "pause-task": pause_task,
    "resume-task": resume_task,
    "new-task": new_task,
    "edit-task": edit_task,
    "remove-task": remove_task,
    "cancel-run": cancel_run,
    "retry-run": retry_run,
    "answer-run": answer_run,
}
"""The actions by the address to which their forms send."""
