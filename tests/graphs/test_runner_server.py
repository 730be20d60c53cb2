"""Graphs on LangGraph servers, as far as no server is needed: one that is down, and one that is played."""

import asyncio
import sqlite3

import httpx
import pytest
from helpers import free_port, one_time, run_program, wait_for_runs
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Interrupt
from langgraph_sdk.client import LangGraphClient
from runner_kit import a_claim, a_runner, a_task

from scheduler import RunStatus, TaskScheduler
from scheduler.errors import GraphError
from scheduler.graphs import server
from scheduler.graphs.bounded_transport import AnswerTooLargeError, BoundedTransport
from scheduler.graphs.loading import load_graph
from scheduler.graphs.server import ServerGraph
from scheduler.thread_ids import server_thread

DONE = {"messages": [{"type": "human", "content": "Go."}, {"type": "ai", "content": "Gone."}]}
STATE = {"values": DONE, "next": [], "metadata": {"scheduler_run_id": "r1"}, "tasks": []}
ASKED = {"value": {"ask": "Go on?"}, "id": "q1"}


class Broken(httpx.AsyncByteStream):
    """A body that is cut off."""

    async def __aiter__(self):
        yield b"\n"
        message = "peer closed connection"
        raise httpx.RemoteProtocolError(message)


class Played:
    """A server: what it answers to each request, by method and end of the path; what it was asked."""

    def __init__(self, **answers):
        usual = {"wait": DONE, "run": {"status": "success"}, "state": STATE, "runs": [], "search": [{}]}
        self.answers = {**usual, **answers}
        self.asked = []
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://server")
        self.graph = RemoteGraph("agent", client=LangGraphClient(http))

    async def attempt(self, **claim):
        return await a_runner(self.graph, durability="sync").run(a_claim(a_task(), **claim))

    def _answer(self, request):
        last = request.url.path.rpartition("/")[2]
        name = {"the-run": "run", server_thread("scheduler:daily"): "thread"}.get(last, last)
        if name != "search":  # which the look at the start does, at its own time
            self.asked.append(name)
        answer = self.answers[name]
        if isinstance(answer, list) and name not in {"runs", "search"}:
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        headers = {"content-location": "/threads/the-thread/runs/the-run"}
        if isinstance(answer, Broken):
            return httpx.Response(200, stream=answer, headers=headers)
        if isinstance(answer, str):
            return httpx.Response(200, text=answer)
        if isinstance(answer, tuple):
            return httpx.Response(answer[0], json=answer[1])
        return httpx.Response(200, json=answer, headers=headers)


@pytest.fixture
def at_once(monkeypatch):
    """Wait for nothing before a run is looked for again."""
    monkeypatch.setattr(server, "_REJOIN_DELAYS", (0, 0))
    monkeypatch.setattr(server, "_LOOK_AGAIN", 0)


async def test_a_run_that_returned_has_succeeded():
    """The server is asked how the run ended, and where: it returns the same for runs that did not return."""
    played = Played()
    outcome = await played.attempt()
    assert (outcome.status, outcome.response) == (RunStatus.SUCCEEDED, "Gone.")
    assert played.asked == ["wait", "run", "state"]


@pytest.mark.parametrize(
    ("answers", "status", "error"),
    [
        ({"run": {"status": "timeout"}}, "timed_out", "it took longer than the server lets a run take"),
        ({"run": {"status": "interrupted"}, "state": {}}, "cancelled", "the run was cancelled on the server"),
        ({"run": (404, {"detail": "?"})}, "cancelled", "the run was deleted on the server"),
        (
            {"wait": {"__error__": {"error": "KeyError", "message": "'city'"}}, "run": {"status": "error"}},
            "failed",
            "KeyError: 'city'",
        ),
        ({"run": {"status": "error"}}, "failed", "the run failed on the server, which does not say why"),
        ({"wait": (503, {"detail": "starting"})}, "failed", "the server answers 503 Service Unavailable: starting"),
        ({"wait": (401, {"detail": "who?"})}, "failed", "401 Unauthorized: who?; set LANGGRAPH_API_KEY"),
        ({"wait": (404, {"detail": "no agent"})}, "failed", "the server answers 404 Not Found: no agent"),
        ({"wait": httpx.ConnectError("refused")}, "failed", "the server cannot be reached (ConnectError: refused)"),
        ({"run": (500, {})}, "failed", "the server answers 500"),
        ({"wait": httpx.PoolTimeout("")}, "failed", "its client has no connection left; lower max_concurrent_runs"),
        ({"wait": "<html>"}, "failed", "what answers there is no LangGraph server"),
    ],
)
async def test_what_happens_on_the_server_is_told(answers, status, error):
    """Each way in which a run ends there has its status here, and an error that names the server."""
    outcome = await Played(**answers).attempt()
    assert outcome.status == status
    assert outcome.error.startswith("ServerError: langgraph+http://server/agent: ")
    assert error in outcome.error


@pytest.mark.parametrize(
    ("answers", "status", "error"),
    [
        ({"join": DONE}, "succeeded", None),
        ({"join": [httpx.ConnectError("refused"), DONE]}, "succeeded", None),
        ({"join": [(502, {}), DONE]}, "succeeded", None),
        ({"join": DONE, "run": [{"status": "pending"}, {"status": "success"}]}, "succeeded", None),
        ({"join": (404, {})}, "interrupted", "and the server no longer knows the run"),
        ({"join": DONE, "run": (404, {})}, "interrupted", "and the server no longer knows the run"),
        ({"join": DONE, "run": {"status": "interrupted"}, "state": {}}, "interrupted", "the server cancelled it"),
        ({"join": httpx.ConnectError("refused")}, "interrupted", "was not there again within 0 s"),
        ({"join": (400, {"detail": "?"})}, "failed", "the server answers 400 Bad Request"),
    ],
)
async def test_a_connection_that_is_lost(at_once, answers, status, error):
    """The run is looked for; what became of it counts, and if that cannot be known it was interrupted."""
    outcome = await Played(wait=Broken(), **answers).attempt()
    assert outcome.status == status
    assert outcome.error is None if error is None else error in outcome.error


async def test_a_server_that_stops_before_it_says_how_a_run_ended(at_once):
    """A server that stops may return the unfinished state and go away: the scheduler asks for the run again."""
    played = Played(run=[httpx.ConnectError("refused"), {"status": "success"}], join=DONE)
    outcome = await played.attempt()
    assert (outcome.status, outcome.response) == (RunStatus.SUCCEEDED, "Gone.")
    assert played.asked == ["wait", "run", "join", "run", "state"]


async def test_questions_come_back_however_the_server_tells_them():
    """With the state, or in the thread alone."""
    asked = await Played(wait={**DONE, "__interrupt__": [ASKED]}).attempt()
    kept = await Played(run={"status": "interrupted"}, state={"tasks": [{"interrupts": [ASKED]}]}).attempt()
    for outcome in (asked, kept):
        assert outcome.status is RunStatus.WAITING
        assert [(each.id, each.value) for each in outcome.questions] == [("q1", {"ask": "Go on?"})]


NAMESPACE = ["node:1f2e", "tool:77"]
OLD = {"value": {"ask": "Go on?"}, "resumable": True, "ns": NAMESPACE, "when": "during"}


@pytest.mark.parametrize(
    ("kept", "key"),
    [(ASKED, "q1"), ({**OLD, "interrupt_id": "q2"}, "q2"), (OLD, Interrupt(1, ns=NAMESPACE).id)],
    ids=["with its id", "with an id of another name", "with its namespace"],
)
@pytest.mark.parametrize("status", ["interrupted", "success"])
async def test_questions_of_older_servers(kept, key, status):
    """What a run returns there has no ids; the thread's state has them, or what LangGraph derives them from."""
    state = {**STATE, "tasks": [{"interrupts": [kept]}]}
    played = Played(wait={**DONE, "__interrupt__": [OLD]}, run={"status": status}, state=state)
    outcome = await played.attempt()
    assert outcome.status is RunStatus.WAITING
    assert [(each.id, each.value) for each in outcome.questions] == [(key, {"ask": "Go on?"})]


async def test_a_run_that_was_left_behind_is_waited_for():
    """A further attempt joins the server's run of the same run here, and does not begin a second one."""
    going = {"run_id": "old", "status": "running", "metadata": {"scheduler_run_id": "r1"}}
    others = {"run_id": "other", "status": "running", "metadata": {"scheduler_run_id": "r0"}}
    played = Played(runs=[others, going], join=DONE, state=STATE, thread={"status": "idle"})
    outcome = await played.attempt(attempt=2, last_status=RunStatus.INTERRUPTED)
    assert (outcome.status, outcome.response) == (RunStatus.SUCCEEDED, "Gone.")
    assert played.asked == ["runs", "join", "state", "thread"]


@pytest.mark.parametrize("status", ["interrupted", "error"])
async def test_a_node_that_the_servers_graph_no_longer_has(status):
    """The state shows nothing that is left to do, and the thread knows that there was something: the run fails."""
    outcome = await Played(runs=[], state=STATE, thread={"status": status}).attempt(attempt=2)
    assert outcome.status is RunStatus.FAILED
    assert "the graph no longer has the node where this run would continue" in outcome.error


async def test_a_node_inside_a_node_that_the_servers_graph_no_longer_has():
    """Its question is still with the outer node, and the inner graph has nothing left to do."""
    inner = {"next": [], "metadata": {}}
    state = {**STATE, "next": ["billing"], "tasks": [{"name": "billing", "interrupts": [ASKED], "state": inner}]}
    outcome = await Played(runs=[], state=state).attempt(attempt=2, answers={"q1": "yes"})
    assert outcome.status is RunStatus.FAILED
    assert "the graph no longer has the node that asked (in billing)" in outcome.error


async def test_a_thread_that_the_server_does_not_know_has_nothing_to_continue():
    """An interrupted run is not started again unless its task allows it."""
    played = Played(runs=(404, {}), state=(404, {}))
    outcome = await played.attempt(attempt=2, last_status=RunStatus.INTERRUPTED)
    assert (outcome.status, outcome.is_last) == (RunStatus.INTERRUPTED, True)


async def test_a_thread_of_the_programs_own_that_no_server_can_have():
    """It is refused before the server is asked: it would be another conversation."""
    played = Played()
    outcome = await played.attempt(thread_id="chat-7")
    assert outcome.status is RunStatus.FAILED
    assert "thread_id='chat-7' is no UUID, and LangGraph servers know no other threads" in outcome.error
    assert played.asked == []


def test_threads_of_servers_are_uuids():
    """The uuid5 of the session; a session that is a UUID is the thread itself."""
    assert server_thread("scheduler:daily") == "904ec9c0-41a8-55f9-a7f0-cb7b626d479e"
    own = "9d52a3f5-3ccb-467a-85af-11d9eebb7936"
    assert server_thread(f"scheduler:{own}") == own
    assert server_thread(f"scheduler:{own.upper()}") != own.upper()
    assert server_thread("scheduler:daily:r1") != server_thread("scheduler:daily")


def test_the_key_comes_from_the_environment(monkeypatch):
    """As for LangGraph's own client; it is in no address."""
    monkeypatch.setenv("LANGGRAPH_API_KEY", "secret")
    graph = ServerGraph.at("langgraph+https://host/base/agent")
    assert graph._client.http.client.headers["x-api-key"] == "secret"
    assert str(graph._client.http.client.base_url) == "https://host/base/"
    assert graph.name == "langgraph+https://host/base/agent"


@pytest.mark.parametrize(
    ("graph", "problem"),
    [
        ("langgraph+http://host", "it does not end with the name of a graph"),
        ("langgraph+http://me:pass@host/agent", "it has credentials"),
        (RemoteGraph("agent"), "it has no asynchronous client; give it url= or client="),
    ],
)
async def test_what_is_no_graph_on_a_server_is_refused_at_the_start(graph, problem):
    """The error says how to fix it; a password is not shown."""
    with pytest.raises(GraphError) as caught:
        TaskScheduler(persistent=False, graph=graph).start()
    assert problem in str(caught.value)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({}, None),
        ({"search": []}, "the server does not know agent"),
        ({"search": (404, {"detail": "Graph 'agent' not found"})}, "Graph 'agent' not found"),
        ({"search": "<html>"}, "what answers there is no LangGraph server"),
        ({"search": httpx.ConnectError("refused")}, "the server cannot be reached"),
    ],
)
async def test_a_look_at_the_server(answers, problem):
    """It logs what would make runs fail there; nothing is raised."""
    found = await ServerGraph.of(Played(**answers).graph).problem()
    assert found is None if problem is None else problem in found


async def test_a_graph_on_a_server_takes_no_checkpointer():
    """The server has its own."""
    graph = "langgraph+http://host/agent"
    with pytest.raises(GraphError, match="takes no checkpointer; leave checkpointer= out"):
        TaskScheduler(persistent=False, graph=graph, checkpointer=InMemorySaver()).start()


async def test_a_server_that_is_down_does_not_keep_a_scheduler_from_starting(new_scheduler, caplog):
    """It is said at the start; a run fails with a clear error, after as many attempts as it may have."""
    graph = f"langgraph+http://127.0.0.1:{free_port()}/steps"
    async with new_scheduler(graph, poll_interval=0.05) as scheduler:
        scheduler.add_task(one_time(max_attempts=2, retry_delay_seconds=0))
        (run,) = await wait_for_runs(scheduler, 1)
    assert (run.status, run.attempt) == (RunStatus.FAILED, 2)
    assert run.error.startswith(f"ServerError: {graph}: the server cannot be reached (ConnectError")
    assert f"runs fail until it is: {graph}: the server cannot be reached" in caplog.text


def test_a_scheduler_of_graphs_on_servers_imports_no_langgraph(tmp_path):
    """It takes its time to import, and is not needed where a server has the graph."""
    run_program(
        tmp_path,
        f"""
        async def main():
            async with TaskScheduler(graph="langgraph+http://127.0.0.1:{free_port()}/steps") as scheduler:
                scheduler.add_task(once())
                while not scheduler.list_runs(status="failed"):
                    await scheduler.scheduler.pass_done.wait()
            assert not [name for name in sys.modules if name.partition(".")[0] == "langgraph"]

        asyncio.run(main())
        """,
    )
    with sqlite3.connect(tmp_path / "scheduler.db") as connection:
        ((error,),) = connection.execute("SELECT error FROM scheduler_runs").fetchall()
    connection.close()
    assert "cannot be reached" in error


# --- What a server sends is bounded, and what it repeats is not shown ---


def bounded(answer, **limits):
    return httpx.AsyncClient(
        transport=BoundedTransport(httpx.MockTransport(answer), **limits), base_url="http://server"
    )


async def test_a_large_answer_is_read_up_to_the_limit():
    """One byte more ends it; the limit itself is fine."""

    def answer(request):
        return httpx.Response(200, stream=Chunks(b"x" * 10 for _ in range(int(request.url.path[1:]))))

    async with bounded(answer, most=100) as client:
        assert len((await client.get("/10")).content) == 100
        with pytest.raises(AnswerTooLargeError, match="100 bytes"):
            await client.get("/11")


EVENTS = {"content-type": "text/event-stream"}


@pytest.mark.parametrize("end", ["\n\n", "\r\r", "\r\n\r\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_events_are_bounded_one_by_one(end, size):
    """A long stream of short events goes on, whatever the pieces it comes in."""
    stream = f"data: 1{end}".encode() * 100

    def answer(_):
        return httpx.Response(
            200, headers=EVENTS, stream=Chunks(stream[place : place + size] for place in range(0, len(stream), size))
        )

    async with bounded(answer, most=100) as client:
        assert len((await client.get("/", headers={"accept": "text/event-stream"})).content) == len(stream)


@pytest.mark.parametrize(
    ("accept", "status", "piece"),
    [
        ("text/event-stream", 200, b"data: 1"),  # a line without an end
        ("text/event-stream", 200, b"data: 1\n"),  # an event without an end
        ("text/event-stream", 500, b"data: 1\n\n"),  # an error is read as a whole
        ("application/json", 200, b"data: 1\n\n"),  # so is what was not asked for as events
    ],
)
async def test_what_the_client_keeps_as_a_whole_is_bounded_as_a_whole(accept, status, piece):
    """Whatever the server calls it."""

    def answer(_):
        return httpx.Response(status, headers=EVENTS, stream=Chunks(piece for _ in range(100)))

    async with bounded(answer, most=100) as client:
        with pytest.raises(AnswerTooLargeError):
            await client.get("/", headers={"accept": accept})


async def test_a_compressed_answer_is_refused():
    """Its size is known too late: 150 MB in 150 KB."""

    def answer(request):
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Chunks([b"..."]))

    async with bounded(answer) as client:
        with pytest.raises(AnswerTooLargeError, match="compresses"):
            await client.get("/")


async def test_an_answer_that_trickles_ends():
    """Blanks say that a run goes on, for as long as it does; from the first byte on the time counts."""
    loop = asyncio.get_running_loop()
    waited = []

    def answer(request):
        body = [b"\n", b"\n", b"{", b"}"] if request.url.path == "/slow" else [b"\n"] * 50 + [b"{}"]
        return httpx.Response(200, stream=Chunks(body))

    clock = iter(range(0, 10_000, 70))
    async with bounded(answer) as client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "time", lambda: float(next(clock)))
            assert (await client.get("/waiting")).json() == {}
            waited.append("waiting")
            with pytest.raises(AnswerTooLargeError, match="120 s"):
                await client.get("/slow")
    assert waited == ["waiting"]


class Chunks(httpx.AsyncByteStream):
    """A body in parts."""

    def __init__(self, chunks):
        self.chunks = chunks

    async def __aiter__(self):
        for chunk in self.chunks:
            yield chunk


@pytest.mark.parametrize("form", ["the key {} is wrong", "x-api-key: {}", '{{"key": "{}"}}'])
async def test_a_key_that_the_server_repeats_is_not_shown(form):
    """Neither in the error of the run nor in that of `check`."""
    played = Played(wait=(401, {"detail": form.format("lsv2-secret-key")}))
    played.graph.client.http.client.headers["x-api-key"] = "lsv2-secret-key"
    outcome = await played.attempt()
    assert outcome.status is RunStatus.FAILED
    assert "secret-key" not in outcome.error
    assert "401" in outcome.error


@pytest.mark.parametrize(
    "address",
    [
        "langgraph+http://me:secret-key@host/agent",
        "LangGraph+HTTP://me:secret-key@host/agent",
        "langgraph+http://me:secret/key@host/agent",
        "langgraph+http:/me:secret-key@host/agent",
        "langgraph+http://host/agent?api_key=secret-key",
        "langgraph+http://host/agent#secret-key",
        "http://me:secret-key@host/agent",
    ],
)
def test_the_address_of_a_graph_is_shown_without_secrets(address):
    """By a definition that is refused, and by a scheduler that cannot start with it."""
    with pytest.raises(ValueError, match="graph") as refused:
        a_task(graph=address)
    assert "secret" not in str(refused.value)
    with pytest.raises(GraphError) as failed:
        load_graph(address, needs_messages=False)
    assert "secret" not in str(failed.value)
