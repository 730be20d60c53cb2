"""langgraph.json: which graphs a project has, where its modules are, and its environment.

The file is LangGraph's own: `langgraph dev` and LangGraph's server read it. It is JSON without comments. Keys that
concern a server alone (`http`, `auth`, `store`, …) are passed over.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scheduler._texts import shown
from scheduler.errors import ProjectFileError
from scheduler.graph_names import is_attribute, is_path

FILE: Final = "langgraph.json"
_JAVASCRIPT: Final = (".ts", ".mts", ".cts", ".js", ".mjs", ".cjs", ".tsx", ".jsx")


@dataclass(frozen=True, slots=True)
class LangGraphProject:
    """What a langgraph.json says."""

    file: Path
    graphs: Mapping[str, str]
    """The graphs by name, each as `path/to/file.py:attribute` or `module:attribute`."""
    dependencies: tuple[str, ...] = ()
    env: str | Mapping[str, str] | None = None
    """The path of a file such as `.env`, or the variables themselves."""

    @property
    def folder(self) -> Path:
        """The folder that the paths in the file are relative to."""
        return self.file.parent

    @property
    def python_graphs(self) -> list[str]:
        """The names of the graphs that Python can load."""
        return [name for name, source in self.graphs.items() if not is_javascript(source)]

    @property
    def import_folders(self) -> list[Path]:
        """The folders in which Python is to find the project's modules.

        These are the project's folder, the folders among its dependencies, and the `src` folder in each: LangGraph's
        server installs the dependencies, so that packages in `src` can be imported there.
        """
        folders = [self.folder, *(self.folder / each for each in self.dependencies if self._is_folder(each))]
        found = [place for folder in folders for place in (folder / "src", folder)]
        return list(dict.fromkeys(place.resolve() for place in found if _holds_modules(place)))

    def _is_folder(self, dependency: str) -> bool:
        return (self.folder / dependency).is_dir()

    @property
    def missing_dependencies(self) -> list[str]:
        """The dependencies that are meant as folders or files, and are not there."""
        local = [each for each in self.dependencies if each.startswith(".")]
        return [each for each in local if not (self.folder / each).exists()]

    @property
    def missing_env(self) -> Path | None:
        """The file of variables, if it is not there; LangGraph's server passes over one that is missing, too."""
        file = self.folder / self.env if isinstance(self.env, str) else None
        return None if file is None or file.exists() else file

    def environment(self) -> dict[str, str]:
        """Return the variables of the project. Raises `ProjectFileError` if their file cannot be read."""
        if not isinstance(self.env, str):
            return dict(self.env or {})
        from dotenv import dotenv_values  # noqa: PLC0415 (only projects with such a file pay for it)

        try:
            found = dotenv_values(self.folder / self.env)
        except (OSError, ValueError) as error:
            problem = f"{shown(self.env)} cannot be read ({error})"
            raise ProjectFileError(self.file, "env", problem, "name a text file with lines NAME=value") from error
        return {name: value for name, value in found.items() if value is not None}

    def source(self, name: str) -> str:
        """Return where a graph is, with an absolute path if it is in a file. Raises `ProjectFileError`."""
        if name not in self.graphs:
            known = ", ".join(self.graphs) or "none"
            raise ProjectFileError(self.file, "graphs", f"it has no graph {name}", f"name one of its graphs: {known}")
        source = self.graphs[name]
        if is_javascript(source):
            hint = "run it on a LangGraph server, and give its address, langgraph+http://host:port/assistant"
            raise ProjectFileError(self.file, f"graphs.{name}", "it is JavaScript, which Python cannot load", hint)
        place, _, attribute = source.rpartition(":")
        return f"{self.folder / place}:{attribute}" if is_path(place) else source


def is_javascript(source: str) -> bool:
    """Tell whether a graph is written in JavaScript or TypeScript."""
    return source.rpartition(":")[0].endswith(_JAVASCRIPT)


def _holds_modules(folder: Path) -> bool:
    """Tell whether a folder can be on Python's path: it is one, and no package itself."""
    return folder.is_dir() and not (folder / "__init__.py").exists()


# --- Entering a project ---


def enter(project: LangGraphProject) -> list[str]:
    """Let Python find the project's modules, after all others, and set its variables that are not set.

    Returns the folders on Python's path. Raises `ProjectFileError`.
    """
    folders = [str(folder) for folder in project.import_folders]
    sys.path.extend(place for place in folders if place not in sys.path)
    for name, value in project.environment().items():
        os.environ.setdefault(name, value)
    return folders


# --- Reading ---


def find_file(folders: Iterable[Path]) -> Path | None:
    """Return the langgraph.json of the first of some folders that has one."""
    return next((folder / FILE for folder in folders if (folder / FILE).exists()), None)


def find_project(folders: Iterable[Path]) -> LangGraphProject | None:
    """Return the project of the first of some folders that has a langgraph.json. Raises `ProjectFileError`."""
    file = find_file(folders)
    return None if file is None else read_project(file)


def read_project(file: Path) -> LangGraphProject:
    """Read a langgraph.json. Raises `ProjectFileError`, which names the key that is wrong."""
    try:
        content = json.loads(file.read_bytes().decode(), object_pairs_hook=_without_duplicates)
    except _DuplicateError as error:
        raise ProjectFileError(file, error.key, "the key is there twice", "leave one of them out") from None
    except json.JSONDecodeError as error:
        problem = f"it is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        raise ProjectFileError(file, None, problem, "correct it; JSON has no comments and no comma at an end") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ProjectFileError(file, None, f"it cannot be read ({error})", "give a text file with JSON") from error
    if not isinstance(content, dict):
        raise ProjectFileError(file, None, f"it is {_kind(content)}", 'write an object, such as {"graphs": {…}}')
    return LangGraphProject(file.absolute(), _graphs(file, content), _dependencies(file, content), _env(file, content))


class _DuplicateError(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateError(key)
        found[key] = value
    return found


_GRAPHS_HINT: Final = 'write "graphs": {"agent": "./src/agent/graph.py:graph"}'


def _graphs(file: Path, content: Mapping[str, Any]) -> dict[str, str]:
    graphs = content.get("graphs")
    if graphs is None:
        raise ProjectFileError(file, "graphs", "it is missing", _GRAPHS_HINT)
    if not isinstance(graphs, dict):
        raise ProjectFileError(file, "graphs", f"it is {_kind(graphs)}", _GRAPHS_HINT)
    return {name: _source(file, name, given) for name, given in graphs.items()}


def _source(file: Path, name: str, given: object) -> str:
    key = f"graphs.{name}"
    source = given.get("path") if isinstance(given, dict) else given
    hint = 'write where the graph is, such as "./src/agent/graph.py:graph" or "agent.graph:graph"'
    if not isinstance(source, str):
        problem = "it has no path" if isinstance(given, dict) and source is None else f"it is {_kind(source)}"
        raise ProjectFileError(file, key, problem, hint)
    place, _, attribute = source.rpartition(":")
    if not place or not is_attribute(attribute):
        raise ProjectFileError(file, key, f"{shown(source)} does not name a variable after a colon", hint)
    return source


def _dependencies(file: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    given = content.get("dependencies") or []
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise ProjectFileError(file, "dependencies", "it is no list of texts", 'write "dependencies": ["."]')
    return tuple(given)


def _env(file: Path, content: Mapping[str, Any]) -> str | dict[str, str] | None:
    given = content.get("env")
    if given is None or isinstance(given, str):
        return given or None
    if not isinstance(given, dict):
        raise ProjectFileError(file, "env", f"it is {_kind(given)}", 'write "env": ".env", or an object of variables')
    for name, value in given.items():
        if not isinstance(value, str):
            raise ProjectFileError(file, f"env.{name}", f"it is {_kind(value)}", "put the value in quotes")
    return given


_KINDS: Final = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a number")
