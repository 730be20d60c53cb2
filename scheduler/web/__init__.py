"""The web view: pages on which people see what ran, what runs and what comes next, and act on it.

`app(task_scheduler)` is a Starlette application, to be mounted in a program's own or served by itself; `served` serves
it beside a scheduler, in the same event loop. It needs the extra `web`.
"""

from importlib.util import find_spec

if missing := [name for name in ("jinja2", "starlette", "uvicorn") if find_spec(name) is None]:
    message = f"scheduler.web needs {', '.join(missing)}: pip install 'langgraph-task-scheduler[web]'"
    raise ImportError(message)

from scheduler.web.access import TOKEN_VARIABLE, Access, Action, anyone
from scheduler.web.application import app
from scheduler.web.serving import DEFAULT_HOST, DEFAULT_PORT, served

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "TOKEN_VARIABLE", "Access", "Action", "anyone", "app", "served"]
