"""A scheduler whose tasks succeed, fail, ask and wait, and a browser for its pages."""

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from web_kit import GRAPH, Browser

from scheduler import web


@pytest.fixture
def scheduler(new_scheduler):
    """Return a scheduler that is not started: it only has its store open."""
    return new_scheduler(GRAPH, checkpointer=InMemorySaver())


@pytest.fixture
def browse(scheduler):
    """Return what opens a browser on the pages of the scheduler."""

    def browse(auth=web.anyone, **options):
        return Browser(web.app(scheduler, auth=auth, **options))

    return browse
