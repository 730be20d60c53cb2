"""ServerGraph: a graph on a LangGraph server, invoked over HTTP; what becomes of its run is reported in our words.

It needs no LangGraph here. LangGraph's own `RemoteGraph.ainvoke` is not used: for a run that was cancelled or took too
long on the server it returns the unfinished state, as if the run had come to its end (tried with langgraph-api 0.16).
So the server is asked how each run ended.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Self

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from scheduler.errors import GraphError, ServerError
from scheduler.graphs.bounded_transport import AnswerTooLargeError, BoundedTransport
from scheduler.graphs.position import Position
from scheduler.graphs.server_state import asked_in, position_of_state
from scheduler.models import RunStatus
from scheduler.redaction import beginning, shown_url
from scheduler.server_url import SERVER_PREFIX, ServerUrlError, parse_server_url
from scheduler.thread_ids import names_no_thread_of_servers, server_thread

_TIMEOUT: Final = httpx.Timeout(connect=5, read=300, write=60, pool=None)
"""In seconds. A server that works on a run sends a sign of life every few seconds."""
_CONNECT_RETRIES: Final = 3
"""So often a connection that is refused is tried again, which takes 1.5 s: a server may be restarting."""
_REJOIN_DELAYS: Final = (1, 2, 4, 8)
"""The waits, in seconds, before a run is looked for whose connection was lost."""
_LOOK_AGAIN, _LONGEST_LOOK_AGAIN = 0.2, 10.0
"""The first and the longest wait, in seconds, before a run that the server put back into its queue is joined again."""
_LOOK_SECONDS: Final = 10
_RUNS_LOOKED_AT: Final = 100
_FROM_THE_BEGINNING: Final = "-1"
_GONE, _TOO_MANY, _SERVERS_OWN = 404, 429, 500
_NO_KEY: Final = {401, 403}
_OPTIONS: Final = ("context", "durability", "interrupt_before", "interrupt_after")
"""What a call may ask of the server beside input and config."""
_GOING: Final = {"pending", "running"}
_TEXT_LIMIT: Final = 10_000
"""The most characters of a server's error that are looked at."""
_PLAIN_HEADERS: Final = frozenset({"accept", "accept-encoding", "connection", "content-type", "user-agent"})
_UNFINISHED: Final = {"interrupted", "error"}
"""The statuses of threads whose last run stopped before its graph had finished."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What continues a graph that asked: answers by the ids of its interrupts."""

    answers: Mapping[str, Any]


class ServerGraph:
    """An assistant of a LangGraph server, which has what the scheduler asks of a graph that keeps its threads."""

    def __init__(self, client: LangGraphClient, assistant: str, config: Mapping[str, Any] | None = None) -> None:
        """Take the server's client, the assistant's name or id, and a config that all its runs have."""
        self._client = client
        self._assistant = assistant
        self._config = config or {}
        base = str(client.http.client.base_url).rstrip("/")
        self.name: str = f"{SERVER_PREFIX}{shown_url(base)}/{assistant}"

    @classmethod
    def at(cls, url: str) -> Self:
        """Return the graph at an address. Raises `GraphError`. The API key comes from the environment."""
        try:
            server = parse_server_url(url)
        except ServerUrlError as error:
            raise GraphError(shown_url(url), error.problem, error.hint) from None
        return cls(_client_of(server.base), server.assistant)

    @classmethod
    def of(cls, remote: Any) -> Self:  # noqa: ANN401 (LangGraph's RemoteGraph)
        """Return the graph that a `RemoteGraph` stands for; it keeps its client. Raises `GraphError`."""
        if remote.client is None:
            raise GraphError(type(remote).__name__, "it has no asynchronous client", "give it url= or client=")
        return cls(remote.client, remote.assistant_id, remote.config)

    # --- What a graph does ---

    async def ainvoke(
        self,
        input: Any,  # noqa: A002, ANN401 (LangGraph's own)
        config: Mapping[str, Any],
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Run the graph on its server and return the final state, in which messages are dicts.

        Options are `context`, `durability`, `interrupt_before` and `interrupt_after`, as LangGraph has them. If this is
        cancelled, or its process dies, the connection ends, and the server cancels the run. Raises `ServerError`.
        """
        request = self._request(input, config, **options)
        return await self._result(_thread(config), request, asyncio.get_running_loop().create_future())

    async def astream(
        self,
        input: Any,  # noqa: A002, ANN401
        config: Mapping[str, Any],
        *,
        stream_mode: Any = None,  # noqa: ANN401, ARG002 (always both)
        **options: Any,  # noqa: ANN401
    ) -> AsyncIterator[tuple[str, Any]]:
        """Do what `ainvoke` does, and yield each step's update as it ends, `("updates", …)`, and last `("values", …)`.

        The server keeps the updates until the run is over, so that none is missed; where they cannot be had, the run
        continues without. Raises `ServerError`.
        """
        kept = {"stream_mode": ["updates", "values"], "stream_resumable": True}
        request = {**self._request(input, config, **options), **kept}
        thread, accepted = _thread(config), asyncio.get_running_loop().create_future()
        running = asyncio.ensure_future(self._result(thread, request, accepted))
        try:
            await asyncio.wait([running, accepted], return_when=asyncio.FIRST_COMPLETED)
            if accepted.done():
                async for update in self._updates(thread, accepted.result()):
                    yield "updates", update
            yield "values", await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def position(self, config: Mapping[str, Any]) -> Position | None:
        """Return where the config's thread stands, or None if the server does not know it. Raises `ServerError`."""
        async with self._telling():
            state = await self._state(_thread(config))
        return None if state is None else position_of_state(state)

    async def position_left_behind(self, config: Mapping[str, Any]) -> Position | None:
        """Return where the earlier attempts of a run have left its thread, also if nodes are missing that it waits for.

        A run on the server that an earlier attempt left behind is waited for, so that no second one is started. Raises
        `ServerError`.
        """
        thread = _thread(config)
        async with self._telling():
            for run in await self._own_runs(config):
                if run["status"] in _GOING:
                    await self._join(thread, run["run_id"])
            state = await self._state(thread)
            if state is None:
                return None
            position = position_of_state(state)
            if position.is_finished and await self._is_unfinished(thread):
                return replace(position, missing=("the node",))
            if position.next and not position.questions:
                own = await self._own_runs(config)
                # One that ended well, and has something left to do, has stopped at a breakpoint.
                return replace(position, is_at_breakpoint=bool(own) and own[0]["status"] == "success")
        return position

    async def heard_answers(self, config: Mapping[str, Any], answers: Mapping[str, Any]) -> set[str]:
        """Return the interrupts for which an earlier attempt has given the server the same answer."""
        async with self._telling():
            commands = [run.get("kwargs", {}).get("command") or {} for run in await self._own_runs(config)]
        given = [command["resume"] for command in commands if isinstance(command.get("resume"), Mapping)]
        return {key for key, value in answers.items() if any(key in each and each[key] == value for each in given)}

    async def aupdate_state(self, config: Mapping[str, Any], values: Mapping[str, Any], as_node: str) -> None:
        """Change a thread's state as if a node had returned the values. Raises `ServerError`."""
        async with self._telling():
            await self._client.threads.update_state(_thread(config), dict(values), as_node=as_node)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread; one that is not there is no error. Raises `ServerError`."""
        async with self._telling():
            try:
                await self._client.threads.delete(server_thread(thread_id))
            except httpx.HTTPStatusError as error:
                if error.response.status_code != _GONE:
                    raise

    async def problem(self) -> str | None:
        """Ask the server for the assistant; return why a run would fail there, or None."""
        try:
            async with self._telling(), asyncio.timeout(_LOOK_SECONDS):
                return await self._unknown()
        except ServerError as error:
            return str(error)
        except TimeoutError:
            return f"{self.name}: the server does not answer within {_LOOK_SECONDS} s"

    # --- A run on the server ---

    def _request(self, input: Any, config: Mapping[str, Any], **options: Any) -> dict[str, Any]:  # noqa: A002, ANN401
        """Return what the server is asked to run."""
        settings = self._config_of(config)
        context = options.get("context")
        if context and "configurable" in settings:
            # It refuses both at once, and takes what is configurable for context as well.
            settings["configurable"] = {**context, **settings["configurable"]}
            options["context"] = None
        asked = {
            "assistant_id": self._assistant,
            **({"command": {"resume": dict(input.answers)}} if isinstance(input, Answers) else {"input": input}),
            "config": settings,
            **{name: options.get(name) for name in _OPTIONS},
            "if_not_exists": "create",
            "multitask_strategy": "enqueue",
            "on_disconnect": "cancel",
        }
        return {name: value for name, value in asked.items() if value is not None}

    async def _updates(self, thread: str, run: str) -> AsyncIterator[Any]:
        """Yield the updates of a run from its beginning to its end, as far as they can be had."""
        with suppress(httpx.HTTPError, ValueError):  # ValueError: an event that is no JSON
            stream = self._client.runs.join_stream(
                thread, run, stream_mode=["updates"], last_event_id=_FROM_THE_BEGINNING
            )
            async for part in stream:
                if part.event == "updates":
                    yield part.data

    async def _result(self, thread: str, request: dict[str, Any], accepted: "asyncio.Future[str]") -> Any:  # noqa: ANN401
        """Start a run and return what it comes to; `accepted` gets its id."""
        async with self._telling():
            note = partial(_note_run, accepted)
            try:
                values = await self._client.http.request_reconnect(
                    f"/threads/{thread}/runs/wait", "POST", json=request, on_response=note, reconnect_limit=0
                )
                return await self._ended(thread, accepted.result(), values) if accepted.done() else values
            except AnswerTooLargeError:
                raise
            except httpx.TransportError:
                if not accepted.done():
                    raise
            values = await self._rejoin(thread, accepted.result())
            return await self._ended(thread, accepted.result(), values, was_lost=True)

    async def _join(self, thread: str, run: str) -> Any:  # noqa: ANN401
        """Wait for a run that is there already, and return its state."""
        path = f"/threads/{thread}/runs/{run}/join"
        return await self._client.http.request_reconnect(
            path, "GET", params={"cancel_on_disconnect": "true"}, reconnect_limit=0
        )

    async def _rejoin(self, thread: str, run: str) -> Any:  # noqa: ANN401
        """Look for a run whose connection was lost: the server may be restarting, and take it up again."""
        for delay in _REJOIN_DELAYS:
            await asyncio.sleep(delay)
            try:
                return await self._join(thread, run)
            except AnswerTooLargeError:
                raise
            except httpx.TransportError:
                continue
            except httpx.HTTPStatusError as error:
                status = error.response.status_code
                if status == _GONE:
                    break
                if status < _SERVERS_OWN and status != _TOO_MANY:
                    raise
        else:
            raise self._cut_off(f"was not there again within {sum(_REJOIN_DELAYS)} s")
        raise self._cut_off("no longer knows the run")

    def _cut_off(self, and_then: str) -> ServerError:
        lost = f"the connection was lost while the graph ran, and the server {and_then}"
        return ServerError(self.name, lost, RunStatus.INTERRUPTED)

    async def _ended(self, thread: str, run: str, values: Any, *, was_lost: bool = False) -> Any:  # noqa: ANN401
        """Return the state that a run came to, or raise how else it ended."""
        wait = _LOOK_AGAIN
        while True:
            if isinstance(values, Mapping) and _have_ids(values.get("__interrupt__")):
                return values
            status = await self._status(thread, run, was_lost=was_lost)
            if status not in _GOING:
                break
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_LOOK_AGAIN)
            values = await self._join(thread, run)
        has_asked = isinstance(values, Mapping) and "__interrupt__" in values
        if status == "success" and not has_asked:
            return await self._returned(thread, values)
        if status in {"success", "interrupted"}:
            return await self._asked(thread, values, was_lost=was_lost)
        if status == "timeout":
            raise ServerError(self.name, "it took longer than the server lets a run take", RunStatus.TIMED_OUT)
        raise ServerError(self.name, self._redacted(_error_text(values)))

    async def _returned(self, thread: str, values: Any) -> Any:  # noqa: ANN401
        """Return the state of a run that ended well; with no interrupts, as LangGraph marks it, at a breakpoint."""
        state = await self._state(thread)
        if state is None or not state.get("next"):
            return values
        return {**(values if isinstance(values, Mapping) else {}), "__interrupt__": []}

    async def _status(self, thread: str, run: str, *, was_lost: bool) -> str:
        try:
            return str((await self._client.runs.get(thread, run))["status"])
        except httpx.HTTPStatusError as error:
            if error.response.status_code != _GONE:
                raise
        if was_lost:
            raise self._cut_off("no longer knows the run")
        raise ServerError(self.name, "the run was deleted on the server", RunStatus.CANCELLED)

    async def _asked(self, thread: str, values: Any, *, was_lost: bool) -> Any:  # noqa: ANN401
        """Return what a run asks that ended as interrupted, which cancelled ones do, too."""
        state = await self._state(thread)
        asked = asked_in(state or {})
        if asked:
            return {**(values or {}), "__interrupt__": asked}
        if was_lost:
            raise self._cut_off("cancelled it")
        raise ServerError(self.name, "the run was cancelled on the server", RunStatus.CANCELLED)

    # --- What the server knows ---

    async def _own_runs(self, config: Mapping[str, Any]) -> list[Any]:
        """Return the runs on the server that belong to the config's run, newest first."""
        try:
            found = await self._client.runs.list(_thread(config), limit=_RUNS_LOOKED_AT)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != _GONE:
                raise
            return []
        own = config["metadata"]["scheduler_run_id"]
        return [run for run in found if (run.get("metadata") or {}).get("scheduler_run_id") == own]

    async def _state(self, thread: str) -> Mapping[str, Any] | None:
        try:
            found: Any = await self._client.threads.get_state(thread, subgraphs=True)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != _GONE:
                raise
            return None
        state: Mapping[str, Any] = found
        return state

    async def _is_unfinished(self, thread: str) -> bool:
        """Tell whether the thread's last run left something to do, whatever the graph, as it is now, would do next."""
        found = await self._client.threads.get(thread)
        return found["status"] in _UNFINISHED

    async def _unknown(self) -> str | None:
        """Return a sentence if the server does not know the assistant."""
        try:
            await self._client.assistants.get(str(uuid.UUID(self._assistant)))
        except ValueError:  # it is a graph's name
            found = await self._client.assistants.search(graph_id=self._assistant, limit=1)
            return None if found else f"{self.name}: the server does not know {self._assistant}"
        return None

    def _config_of(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the server takes of a config; the thread is in the path, the run's id is the server's own."""
        own = {name: dict(self._config.get(name) or {}) for name in ("configurable", "metadata")}
        # Runnables around the graph may add to both, and LangChain copies the thread into the metadata.
        configurable = _plain({**own["configurable"], **config["configurable"]})
        metadata = {**own["metadata"], **_plain(config["metadata"])}
        session = {"scheduler_thread": config["configurable"]["thread_id"]}
        limit = config.get("recursion_limit") or self._config.get("recursion_limit")
        return {
            "tags": [*self._config.get("tags", ()), *config["tags"]],
            "metadata": {**metadata, **session},
            **({"configurable": configurable} if configurable else {}),
            **({"recursion_limit": limit} if limit else {}),
        }

    def _redacted(self, text: str) -> str:
        """Return what the server or the client says without the keys that the client sends, which it may repeat."""
        headers = self._client.http.client.headers
        return beginning(text, _TEXT_LIMIT, [value for name, value in headers.items() if name not in _PLAIN_HEADERS])

    @asynccontextmanager
    async def _telling(self) -> AsyncIterator[None]:
        """Turn what the client raises into `ServerError`s."""
        try:
            yield
        except httpx.HTTPStatusError as error:
            raise ServerError(self.name, self._redacted(await _refusal(error.response))) from error
        except httpx.PoolTimeout as error:
            text = "its client has no connection left; lower max_concurrent_runs, or give the graph by its address"
            raise ServerError(self.name, text) from error
        except AnswerTooLargeError as error:
            raise ServerError(self.name, str(error)) from error
        except httpx.TransportError as error:
            text = f"the server cannot be reached ({type(error).__name__}: {error})"
            raise ServerError(self.name, self._redacted(text)) from error
        except json.JSONDecodeError as error:
            raise ServerError(self.name, "what answers there is no LangGraph server") from error


def _client_of(base: str) -> LangGraphClient:
    """Return a client as LangGraph's `get_client` makes it, but for its connections.

    Runs are rare, so no connection is kept for the next one: it might be dead by then, and would be left open at the
    end. And each running run has one: the usual bound of a hundred would fail the others.
    """
    made = get_client(url=base)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    transport = BoundedTransport(httpx.AsyncHTTPTransport(retries=_CONNECT_RETRIES, limits=limits))
    http = httpx.AsyncClient(base_url=base, headers=made.http.client.headers, transport=transport, timeout=_TIMEOUT)
    return LangGraphClient(http)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a config says, without the thread, which the server names otherwise, and LangGraph's internals."""
    return {name: value for name, value in values.items() if name != "thread_id" and not name.startswith("__")}


def _thread(config: Mapping[str, Any]) -> str:
    thread_id = config["configurable"]["thread_id"]
    if names_no_thread_of_servers(thread_id):
        problem = f"thread_id={thread_id!r} is no UUID, and LangGraph servers know no other threads"
        raise ValueError(f"{problem}; give the id of the server's thread")
    return server_thread(thread_id)


def _have_ids(interrupts: object) -> bool:
    """Tell whether interrupts can be answered; before LangGraph 0.6, servers tell their ids in the thread alone."""
    return isinstance(interrupts, list) and all(isinstance(each, Mapping) and each.get("id") for each in interrupts)


def _note_run(accepted: "asyncio.Future[str]", response: httpx.Response) -> None:
    """Tell the id of the run that a response is about."""
    before, found, run = response.headers.get("content-location", "").rpartition("/runs/")
    if response.is_success and before and found and not accepted.done():
        accepted.set_result(run)


def _error_text(values: object) -> str:
    """Return what the graph raised, as the server tells it."""
    error = values.get("__error__") if isinstance(values, Mapping) else None
    if not isinstance(error, Mapping):
        return "the run failed on the server, which does not say why"
    return f"{error.get('error')}: {error.get('message')}"


async def _refusal(response: httpx.Response) -> str:
    """Return why the server refuses, in its own words."""
    try:
        text = (await response.aread()).decode(errors="replace")
        detail = response.json().get("detail", text)
    except (httpx.StreamError, ValueError, AttributeError):
        detail = "(no reason given)"
    hint = "; set LANGGRAPH_API_KEY in the environment" if response.status_code in _NO_KEY else ""
    return f"the server answers {response.status_code} {response.reason_phrase}: {detail}{hint}"
