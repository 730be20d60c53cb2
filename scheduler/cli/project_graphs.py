"""The graphs of a project, loaded as a scheduler loads them: whether they can be invoked, and how tasks feed them."""

import asyncio
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from scheduler import SchedulerError, TaskDefinition
from scheduler.cli.errors import sentence
from scheduler.cli.modules import modules_of_working_directory
from scheduler.errors import GraphError, ProjectFileError
from scheduler.graphs.callbacks import load_builder
from scheduler.graphs.loading import check_messages, server_problem
from scheduler.graphs.trial import SeenGraph, try_graph
from scheduler.server_url import is_server_url


def look_at(
    graph: str, input_builder: str | None = None, configurable: Mapping[str, Any] | None = None
) -> SeenGraph | str:
    """Load a graph, or ask its server; return it, or why it cannot be invoked. Raises `ProjectFileError`.

    `configurable` is what a function gets that makes the graph for each run.
    """
    try:
        with modules_of_working_directory():
            if input_builder is not None:
                load_builder(input_builder)
            seen = asyncio.run(try_graph(graph, configurable))
        problem = problem_on_server(graph) if is_server_url(graph) else None
    except ProjectFileError:
        raise
    except (SchedulerError, ValueError) as error:
        return sentence(error)
    return problem or seen


@functools.cache
def problem_on_server(graph: str) -> str | None:
    """Ask a server once, however many tasks have their graph there. Raises `GraphError`."""
    return asyncio.run(server_problem(graph))


@dataclass(frozen=True, slots=True)
class ProjectGraphs:
    """The graphs that were looked at."""

    default: str | None
    """The graph of tasks that name none."""
    input_builder: str | None
    """What builds the input of tasks that have none, for that graph."""
    seen: Mapping[str, SeenGraph | str]
    """Each graph, or why it cannot be invoked."""

    tasks: tuple[TaskDefinition, ...] = ()
    """The tasks for them."""

    @classmethod
    def looked_at(
        cls, names: Iterable[str], default: str | None, input_builder: str | None, tasks: Iterable[TaskDefinition]
    ) -> Self:
        """Look at graphs, with what the first task for each has configured. Raises `ProjectFileError`."""
        made = cls(default, input_builder, {}, tuple(tasks))
        return replace(made, seen={name: look_at(name, input_builder, made._configurable_of(name)) for name in names})

    def _tasks_of(self, name: str) -> list[TaskDefinition]:
        return [task for task in self.tasks if (task.graph or self.default) == name]

    def _configurable_of(self, name: str) -> dict[str, Any]:
        given = [{**(task.context or {}), **(task.configurable or {})} for task in self._tasks_of(name)]
        return next(filter(None, given), {})

    def report(self, name: str) -> tuple[str | None, str]:
        """Return why a graph cannot be invoked, or None, and what else is to be said of it."""
        found = self.seen[name]
        if isinstance(found, str):
            return found, ""
        how = " and is made for each run" if found.is_per_run else ""
        if not found.takes_prompts and self._builder_of(name) is None:
            if not self._tasks_of(name) and name == self.default:
                return _no_messages(name, found), ""
            how += "; its tasks need an input or an input_builder"
        for node in found.nodes_that_ask_for_store[:1]:
            how += f"; its node {node!r} needs a store: give it one with TaskScheduler(store=…) or serve --store"
        return None, f"{name} can be invoked{how}"

    def problem_of(self, task: TaskDefinition | None) -> str | None:
        """Return why the graph of a task would refuse what the task gives it, or None."""
        name = None if task is None else task.graph or self.default
        found = None if name is None else self.seen.get(name)
        if task is None or name is None or not isinstance(found, SeenGraph):
            return None
        return found.problem_of(task, is_built=self._builder_of(name) is not None)

    def _builder_of(self, name: str) -> str | None:
        return self.input_builder if name == self.default else None


def _no_messages(name: str, seen: SeenGraph) -> str | None:
    try:
        check_messages(name, seen.graph)
    except GraphError as error:
        return sentence(error)
    return None
