"""A session as a thread: written and read back."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler import TaskDefinition
from scheduler.thread_ids import ThreadId, server_thread

SESSIONS = st.text("ab:-é0.", min_size=1, max_size=60)
RUN = "019ab3f2-7c11-7a40-8000-5d1f0c9e2b77"


@given(SESSIONS, st.sampled_from(["shared", "per_run"]))
def test_a_thread_is_read_back(session, mode):
    """Whatever the session is called: the session, and whether the thread is the run's own."""
    fields = {"id": "t", "name": "T", "prompt": "P", "task_type": "interval", "interval_seconds": 5}
    thread = ThreadId.of(TaskDefinition(**fields, session_id=session, session_mode=mode), RUN)
    assert ThreadId.parse(str(thread), RUN) == thread
    assert str(thread) == f"scheduler:{session}" + (f":{RUN}" if mode == "per_run" else "")


@given(SESSIONS, SESSIONS)
def test_sessions_have_threads_of_their_own(one, two):
    """Also on a server."""
    threads = [str(ThreadId(one)), str(ThreadId(two))]
    assert (one == two) == (threads[0] == threads[1]) == (server_thread(threads[0]) == server_thread(threads[1]))
