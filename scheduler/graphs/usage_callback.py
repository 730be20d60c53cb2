"""A callback of LangChain through which each call of a model tells what it used.

It is in the config of an attempt, so that LangChain passes it on: to models in tools, in sub-agents, in graphs inside
nodes, and to those whose answers the graph does not return.
"""

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from scheduler.graphs.messages import member
from scheduler.graphs.usage import is_from_cache, number_of
from scheduler.meter import Meter


def usage_callback(meter: Meter) -> Any:  # noqa: ANN401 (LangChain's class, which is not imported before a graph is)
    """Return a callback handler that adds to a meter what each call of a model used."""
    return _handler_class()(meter)


@functools.cache
def _handler_class() -> Any:  # noqa: ANN401
    base = importlib.import_module("langchain_core.callbacks").BaseCallbackHandler

    class UsageHandler(base):  # type: ignore[misc, valid-type]
        """Adds what each call of a model used to the meter of an attempt."""

        run_inline = True  # at once, not in a thread: nothing is to come after the attempt has ended

        def __init__(self, meter: Meter) -> None:
            self._meter = meter

        def on_llm_end(self, response: Any, **_others: Any) -> None:  # noqa: ANN401
            _add(self._meter, response)

        def on_llm_error(self, _error: BaseException, **others: Any) -> None:  # noqa: ANN401
            # A call that was cut off in the middle of its answer.
            _add(self._meter, others.get("response"))

    return UsageHandler


def _add(meter: Meter, response: object) -> None:
    """Add what an `LLMResult` says that a call used, if it says anything."""
    generations = member(response, "generations")
    first = generations[0][0] if isinstance(generations, list) and generations and generations[0] else None
    usage = member(member(first, "message"), "usage_metadata")
    if isinstance(usage, Mapping):
        if is_from_cache(usage):
            return
        read, written = number_of(usage, "input_tokens"), number_of(usage, "output_tokens")
        meter.add(read, written, number_of(usage, "total_tokens") or read + written)
        return
    counted = member(member(response, "llm_output"), "token_usage")  # of models that are no chat models
    if isinstance(counted, Mapping):
        read, written = number_of(counted, "prompt_tokens"), number_of(counted, "completion_tokens")
        meter.add(read, written, number_of(counted, "total_tokens") or read + written)
