"""Projects in folders of their own, one of them with a scheduler that runs in another process."""

import pytest
from cli_kit import PROGRAM, Place, end, wait_for


@pytest.fixture
def place(tmp_path):
    """Return a project without a store."""
    return Place(tmp_path)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """Return a project whose scheduler runs in a process of its own while the tests of a module use its store."""
    place = Place(tmp_path_factory.mktemp("live"))
    (place.folder / "program.py").write_text(PROGRAM)
    with place.start("program.py") as process:
        wait_for(process, "running")
        yield place
        code, rest = end(process)
        assert code == 0, rest
