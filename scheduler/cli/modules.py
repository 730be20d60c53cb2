"""The working directory as a place of graphs, callbacks and input builders; commands that load none never see it."""

import site
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


@contextmanager
def modules_of_working_directory() -> Iterator[None]:
    """Let modules be imported from the working directory meanwhile, after Python's own and after installed packages.

    So a file in the directory cannot take the place of either. It comes before the checkouts that editable installs put
    on the path, which may hold a `graph.py` of their own. With `python -P` (`PYTHONSAFEPATH`) it is left out.
    """
    added = [] if sys.flags.safe_path else [place for place in _working_directory() if place not in sys.path]
    behind = _behind_packages()
    installed = _NamespacePackages(sys.path[:behind])
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
    try:
        return [str(Path.cwd())]
    except OSError:  # it was removed
        return []


def _behind_packages() -> int:
    """Return the position on the path behind the folders of installed packages."""
    packages = {*site.getsitepackages(), site.getusersitepackages()}
    positions = [number for number, place in enumerate(sys.path, 1) if place in packages]
    return max(positions, default=len(sys.path))
