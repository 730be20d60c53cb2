"""The working directory as a place of graphs, callbacks and input builders; commands that load none never see it."""

import site
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def modules_of_working_directory() -> Iterator[None]:
    """Let modules be imported from the working directory meanwhile, after Python's own and after installed packages.

    So a file in the directory cannot take the place of either. It comes before the checkouts that editable installs put
    on the path, which may hold a `graph.py` of their own. With `python -P` (`PYTHONSAFEPATH`) it is left out.
    """
    added = [] if sys.flags.safe_path else [place for place in _working_directory() if place not in sys.path]
    behind = _behind_packages()
    sys.path[behind:behind] = added
    try:
        yield
    finally:
        for place in added:
            with suppress(ValueError):
                sys.path.remove(place)


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
