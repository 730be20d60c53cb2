"""A graph's name → what it names, imported: a module's attribute, a file's, or what langgraph.json says."""

import ast
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from scheduler import _containment, langgraph_json
from scheduler._safe_text import ERROR_LIMIT, error_text
from scheduler._texts import shown
from scheduler.errors import GraphError, ProjectFileError
from scheduler.graph_names import FORMS, FileGraph, ModuleGraph, NamedGraph, parse_graph_name
from scheduler.langgraph_json import LangGraphProject

_lock: Final = threading.RLock()
"""A file is imported once, whichever threads ask for it."""


def imported(name: str) -> object:
    """Import what a graph's name stands for. Raises `GraphError`."""
    found = parse_graph_name(name)
    if isinstance(found, NamedGraph):
        return _of_project(found.name)
    if isinstance(found, FileGraph):
        return _of_file(name, _existing(name, found.path), found.attribute)
    if isinstance(found, ModuleGraph):
        return _of_module(name, found)
    raise GraphError(name, "it is not of the form module:attribute", FORMS)


# --- langgraph.json ---


def enter_project(name: object) -> None:
    """Let Python find a project's modules, if a graph's name is one of its langgraph.json.

    What is wrong with that file is an error where the graph is loaded.
    """
    if isinstance(name, str) and isinstance(parse_graph_name(name), NamedGraph):
        with suppress(GraphError):
            _entered(name)


def _of_project(name: str) -> object:
    try:
        source = _entered(name).source(name)
    except ProjectFileError as error:
        raise _as_graph_error(name, error) from error
    place, _, attribute = source.rpartition(":")
    if Path(place).is_absolute():
        return _of_file(name, Path(place), attribute)
    return _of_module(name, ModuleGraph(place, attribute))


def _entered(name: str) -> LangGraphProject:
    file = langgraph_json.find_file(_folders())
    if file is None:
        raise GraphError(name, "it is not of the form module:attribute, and there is no langgraph.json here", FORMS)
    found, known = file.stat(), _projects.get(file)
    if known is not None and known.is_entered(found):
        return known.project
    try:
        project = langgraph_json.read_project(file)
        folders = langgraph_json.enter(project)
    except ProjectFileError as error:
        raise _as_graph_error(name, error) from error
    _projects[file] = _Entered(project, folders, (found.st_mtime_ns, found.st_size))
    return project


class _Entered(NamedTuple):
    """A project that was entered: it is not read again for each of a thousand tasks that are added."""

    project: LangGraphProject
    folders: list[str]
    version: tuple[int, int]

    def is_entered(self, found: os.stat_result) -> bool:
        """Tell whether it is still the same, and on Python's path."""
        return self.version == (found.st_mtime_ns, found.st_size) and all(map(sys.path.__contains__, self.folders))


_projects: Final[dict[Path, _Entered]] = {}


def _as_graph_error(name: str, error: ProjectFileError) -> GraphError:
    place = error.file if error.key is None else f"{error.file}, key {shown(error.key)}"
    return GraphError(name, f"{place}: {error.problem}", error.hint)


def _folders() -> Iterator[Path]:
    """Yield where langgraph.json and relative paths are looked for: the program's folder, the working directory."""
    program = sys.modules.get("__main__")
    file = getattr(program, "__file__", None)
    if file and getattr(program, "__spec__", None) is None:  # `python -m` has the working directory alone
        yield Path(file).absolute().parent
    yield Path.cwd()


# --- Modules ---


def _of_module(name: str, graph: ModuleGraph) -> object:
    try:
        module = importlib.import_module(graph.module)
    except ModuleNotFoundError as error:
        raise GraphError(name, *_missing(graph.module, error)) from error
    except BaseException as error:
        if _containment.must_pass(error):
            raise
        raise _import_failed(name, graph.module, error) from error
    return _attribute(name, module, f"module {graph.module}", graph.attribute)


def _missing(module: str, error: ModuleNotFoundError) -> tuple[str, str]:
    """Return what is wrong, and the hint."""
    if f"{module}.".startswith(f"{error.name}."):
        problem = f"there is no module {error.name} beside the program or installed"
        return problem, f"put {module} where Python finds it"
    return f"importing {module} raised {error_text(error, ERROR_LIMIT)}", f"install what {module} needs"


def _import_failed(name: str, what: str, error: BaseException) -> GraphError:
    hint = f"install what {what} needs" if isinstance(error, ModuleNotFoundError) else f"correct {what}"
    return GraphError(name, f"importing {what} raised {error_text(error, ERROR_LIMIT)}", hint)


def _attribute(name: str, module: ModuleType, what: str, attribute: str) -> object:
    try:
        return reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        problem = f"{what} ({getattr(module, '__file__', None) or 'a folder'}) has no {attribute}"
        raise GraphError(name, problem, "name the variable that holds the compiled graph") from error


# --- Files ---


def _existing(name: str, path: str) -> Path:
    """Return the file at a path. Raises `GraphError`."""
    folders = list(_folders())
    for folder in folders:
        if (folder / path).is_file():
            return folder / path
    where = " or ".join(dict.fromkeys(map(str, folders)))
    raise GraphError(name, f"there is no file {path} in {where}", "give its path from there, or an absolute one")


def _of_file(name: str, file: Path, attribute: str) -> object:
    try:
        module = _module_of(file.resolve())
    except FileNotFoundError as error:
        raise GraphError(name, f"there is no file {file}", "correct the path") from error
    except BaseException as error:
        if _containment.must_pass(error):
            raise
        raise _import_failed(name, str(file), error) from error
    return _attribute(name, module, "the file", attribute)


def _module_of(file: Path) -> ModuleType:
    """Import a file, unless that was done."""
    known = _modules.get(file)
    if known is None or sys.modules.get(known.__name__) is not known:
        known = _modules[file] = _imported(file)
    return known


_modules: Final[dict[Path, ModuleType]] = {}


def _imported(file: Path) -> ModuleType:
    """Import a file: by its dotted name if Python finds it by one, so that it is not imported twice; else by its path.

    LangGraph's server imports it by its path, and the project's folders are on Python's path there, too.
    """
    folder = str(_import_folder(file))
    if folder not in sys.path:
        sys.path.append(folder)
    for dotted in _dotted_names(file):
        if _leads_to(dotted, file):
            module = importlib.import_module(dotted)
            if _is_file_of(module, file):
                return module
    return _imported_by_path(file)


def _import_folder(file: Path) -> Path:
    """Return the folder from which a file's modules are imported: a `src` folder, or what holds the whole package."""
    outer = [folder for folder in list(file.parents)[_depth(file) :] if not (folder / "__init__.py").exists()]
    return next((folder for folder in outer if folder.name == "src"), (outer or [file.parent])[0])


def _dotted_names(file: Path) -> Iterator[str]:
    """Yield the names by which Python may find a file, the shortest first that its relative imports allow."""
    depth = _depth(file)
    places = {Path(place).resolve() for place in sys.path if place}
    for folder in file.parents:
        if folder in places and not (folder / "__init__.py").exists():
            parts = file.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if len(parts) > depth - (file.stem == "__init__") and all(part.isidentifier() for part in parts):
                yield ".".join(parts)


def _depth(file: Path) -> int:
    """Return how many packages a file's relative imports need around it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return 0  # what is wrong with it is seen when it is imported
    return max((each.level for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)), default=0)


def _leads_to(dotted: str, file: Path) -> bool:
    """Tell whether the first part of a dotted name is found where the file is; nothing is imported."""
    top, *rest = dotted.split(".")
    if top in sys.modules:
        return _leads_there(getattr(sys.modules[top], "__spec__", None), file, rest)
    return _leads_there(importlib.util.find_spec(top), file, rest)


def _leads_there(spec: ModuleSpec | None, file: Path, rest: list[str]) -> bool:
    if spec is None:
        return False
    places = spec.submodule_search_locations
    if places is None:
        return not rest and spec.origin is not None and Path(spec.origin).resolve() == file
    return any(Path(place).resolve() in file.parents for place in places)


def _is_file_of(module: ModuleType, file: Path) -> bool:
    return getattr(module, "__file__", None) is not None and Path(str(module.__file__)).resolve() == file


def _imported_by_path(file: Path) -> ModuleType:
    name = _own_name(file)
    with _lock:
        known = sys.modules.get(name)
        if known is not None and _is_file_of(known, file):
            return known
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            message = f"{file.name} is no Python file"
            raise ImportError(message)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        return module


def _own_name(file: Path) -> str:
    """Return a module's name for a file that has none.

    It does not depend on where the project's folder is: checkpoints name the modules of the types that they hold.
    """
    place = next((folder for folder in file.parents if str(folder) in sys.path), file.parent)
    return "__".join(("graph_file", *file.relative_to(place).with_suffix("").parts))
