"""The working directory as a place of graphs, callbacks and input builders; commands that load none never see it."""

import os
import site
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from scheduler import langgraph_json
from scheduler.graph_names import DEFAULT_GRAPH
from scheduler.langgraph_json import LangGraphProject


def project_here() -> LangGraphProject | None:
    """Return what a langgraph.json in the working directory says; None if there is none, or Python may not look there.

    Raises `ProjectFileError`.
    """
    return langgraph_json.find_project(map(Path, _working_directory()))


def default_graph() -> str:
    """Return the graph of tasks that name none, if no option says it: the only one of langgraph.json, or graph:graph.

    Raises `ProjectFileError`.
    """
    project = project_here()
    found = [] if project is None else project.python_graphs
    return found[0] if len(found) == 1 else DEFAULT_GRAPH


def several_graphs() -> str | None:
    """Return a sentence on the graphs of a langgraph.json, if it does not say which one is meant; else None."""
    project = project_here()
    if project is None or len(project.python_graphs) == 1:
        return None
    if not project.python_graphs:
        return without_python(project)
    return f"{project.file.name} has the graphs {', '.join(project.graphs)}; name one with --graph"


def shadowing_module() -> str | None:
    """Say if a module of the project has the name of this package, so that Python finds only one of the two.

    Raises `ProjectFileError`.
    """
    project = project_here()
    folders = [Path(place) for place in _working_directory()] + ([] if project is None else project.import_folders)
    own = Path(__file__).resolve().parent.parent
    for folder in folders:
        for file in (folder / "scheduler.py", folder / "scheduler" / "__init__.py"):
            if file.is_file() and own not in file.resolve().parents:
                place = file if file.parent == folder else file.parent
                problem = "has the name of this package, and programs there import it in place of the package"
                return f"{os.path.relpath(place)} {problem}; rename it"
    return None


def without_python(project: LangGraphProject) -> str:
    """Return a sentence for a project that has no graph in Python."""
    names = ", ".join(project.graphs) or "none"
    hint = "run it on a LangGraph server, and name it with --graph langgraph+http://host:port/NAME"
    return f"{project.file.name} has no graph in Python (its graphs: {names}); {hint}"


@contextmanager
def modules_of_working_directory() -> Iterator[None]:
    """Let modules be imported from the working directory meanwhile, after Python's own and after installed packages.

    So a file in the directory cannot take the place of either. It comes before the checkouts that editable installs put
    on the path, which may hold a `graph.py` of their own. If the directory has a langgraph.json, the folders that it
    names come next, and its variables are set, unless they are. With `python -P` (`PYTHONSAFEPATH`) all that is left
    out. Raises `ProjectFileError`.
    """
    project = project_here()
    folders = [] if project is None else map(str, project.import_folders)
    added = [place for place in dict.fromkeys([*_working_directory(), *folders]) if place not in sys.path]
    behind = _behind_packages()
    installed = _NamespacePackages(sys.path[:behind])
    with _variables({} if project is None else project.environment()):
        sys.path[behind:behind] = added
        sys.meta_path.insert(0, installed)
        try:
            yield
        finally:
            with suppress(ValueError):
                sys.meta_path.remove(installed)
            for place in added:
                with suppress(ValueError):
                    sys.path.remove(place)


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment meanwhile; those that are set keep their values."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in added.items():
            if os.environ.get(name) == value:
                del os.environ[name]


class _NamespacePackages:
    """Finds installed packages without an `__init__.py`, such as `langgraph`, before other places are looked at.

    Python prefers a module in any later place of the path to such a package.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._places = places

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import a package of several folders; None for whatever else there is."""
        spec = PathFinder.find_spec(name, self._places) if path is None else None
        return spec if spec is not None and spec.loader is None else None


def _working_directory() -> list[str]:
    if sys.flags.safe_path:
        return []
    try:
        return [str(Path.cwd())]
    except OSError:  # it was removed
        return []


def _behind_packages() -> int:
    """Return the position on the path behind the folders of installed packages."""
    packages = {*site.getsitepackages(), site.getusersitepackages()}
    positions = [number for number, place in enumerate(sys.path, 1) if place in packages]
    return max(positions, default=len(sys.path))
