"""A graph is found by a path, or by its name in langgraph.json, as LangGraph's own server finds it."""

import json
import os
import sys

import pytest
from helpers import hourly, wait_until

from scheduler import TaskScheduler, langgraph_json
from scheduler.errors import GraphError
from scheduler.graphs.loading import load_graph

ECHO = "from helpers import EchoGraph\ngraph = EchoGraph()\n"


@pytest.fixture
def files(folder):
    """Return what writes files, given with their paths in place of variables, and returns the folder."""

    def write(**contents):
        for path, content in contents.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content if isinstance(content, str) else json.dumps(content))
        return folder

    return write


LAYOUTS = {
    "a file beside the program": ("./graph.py:graph", {"graph.py": ECHO}),
    "without a dot": ("graph.py:graph", {"graph.py": ECHO}),
    "no module's name": ("./my-agent.py:graph", {"my-agent.py": ECHO}),
    "a package": (
        "./agent/graph.py:graph",
        {"agent/__init__.py": "", "agent/state.py": "n = 1", "agent/graph.py": f"from .state import n\n{ECHO}"},
    ),
    "a package in src": (
        "./src/agent/graph.py:graph",
        {"src/agent/__init__.py": "", "src/agent/state.py": "", "src/agent/graph.py": f"import agent.state\n{ECHO}"},
    ),
    "a package in src without an __init__": (
        "src/agent/graph.py:graph",
        {"src/agent/state.py": "", "src/agent/graph.py": f"from agent import state\n{ECHO}"},
    ),
    "a package called src": (
        "./src/flows/graph.py:graph",
        {"src/__init__.py": "", "src/tools.py": "", "src/flows/graph.py": f"from ..tools import __name__\n{ECHO}"},
    ),
    "a folder src without an __init__, used as a package": (
        "./src/flow.py:graph",
        {"src/tools.py": "", "src/flow.py": f"from .tools import __name__\n{ECHO}"},
    ),
    "a file beside another": ("./bots/graph.py:graph", {"bots/state.py": "", "bots/graph.py": f"import state\n{ECHO}"}),
    "the package itself": ("./agent/__init__.py:graph", {"agent/__init__.py": ECHO}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_path(files, layout):
    """With the modules that it imports, and once, however often it is loaded."""
    path, contents = LAYOUTS[layout]
    folder = files(**contents)
    graph = load_graph(path)
    assert type(graph).__name__ == "EchoGraph"
    assert load_graph(path) is graph
    assert load_graph(f"{folder}/{path}") is graph, "an absolute path leads there, too"


def test_a_file_is_the_module_of_its_name(files):
    """Where Python finds the file by a dotted name, both are one module, so that its classes exist once."""
    files(**{"src/agent_of_mine/__init__.py": "", "src/agent_of_mine/graph.py": ECHO})
    graph = load_graph("./src/agent_of_mine/graph.py:graph")
    assert sys.modules["agent_of_mine.graph"].graph is graph


def test_a_file_is_not_a_module_of_the_same_name(files):
    """The file that the path names is loaded, whichever module Python finds first by that name."""
    files(**{"json.py": ECHO, "helpers.py": "from scheduler import *\nclass Own:\n    ainvoke = print\ngraph = Own()"})
    assert type(load_graph("./json.py:graph")).__name__ == "EchoGraph"
    assert type(load_graph("./helpers.py:graph")).__name__ == "Own"
    assert "Own" not in vars(sys.modules["helpers"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'; install what "),
        ("raise ValueError('no key')", "raised ValueError: no key; correct "),
        ("other = 5", "has no graph; name the variable that holds the compiled graph"),
    ],
)
def test_a_file_that_cannot_be_used(files, content, said):
    """It is refused with what is wrong, and is loaded when it has been corrected."""
    folder = files(**{"agent.py": content})
    with pytest.raises(GraphError) as caught:
        load_graph("./agent.py:graph")
    assert said in str(caught.value)
    sys.modules.pop("agent", None)
    (folder / "agent.py").write_text(ECHO * 2)  # of another size, so that no compiled file stands for it
    load_graph("./agent.py:graph")


PROJECT = {
    "langgraph.json": {
        "graphs": {"agent": "./src/agent/graph.py:graph", "by_module": "agent.graph:graph", "js": "./x.ts:graph"},
        "dependencies": ["."],
        "env": ".env",
    },
    ".env": "FOR_THE_AGENT=1\n",
    "src/agent/__init__.py": "",
    "src/agent/notes.py": "async def note(task, result): pass",
    "src/agent/graph.py": f"import os\nimport agent.notes\nos.environ['FOR_THE_AGENT']\n{ECHO}",
}


def test_a_name(files):
    """With the project's folders on the path and its variables set."""
    files(**PROJECT)
    graph = load_graph("agent")
    assert load_graph("by_module") is graph
    assert os.environ["FOR_THE_AGENT"] == "1"


def test_a_project_is_entered_before_tasks_are_checked(files):
    """So a callback in the project's src folder is found before `start()`."""
    files(**PROJECT)
    scheduler = TaskScheduler(persistent=False, graph="agent")
    scheduler.add_task(hourly(result_callback="agent.notes.note"))
    scheduler.add_task(hourly("other", graph="by_module"))
    assert [task["id"] for task in scheduler.list_tasks()] == ["hourly", "other"]


def test_many_tasks_read_the_project_once(files, monkeypatch):
    """Until langgraph.json changes, or something takes its folders off Python's path."""
    folder, reads, read = files(**PROJECT), [], langgraph_json.read_project
    monkeypatch.setattr(langgraph_json, "read_project", lambda file: reads.append(file) or read(file))
    scheduler = TaskScheduler(persistent=False, graph="agent")
    scheduler.add_tasks(hourly(f"t{number}", graph="agent") for number in range(20))
    assert len(reads) == 1
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"new": "./src/agent/graph.py:graph"}}))
    scheduler.add_task(hourly(graph="new"))
    assert len(reads) == 2
    sys.path.remove(str(folder / "src"))
    scheduler.add_task(hourly(graph="new"))
    assert len(reads) == 3
    scheduler.stop()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("agent", None, "graph='agent': it is not of the form module:attribute, and there is no langgraph.json here;"),
        ("agent", "{", "graph='agent': {folder}/langgraph.json: it is no JSON: "),
        ("no", PROJECT["langgraph.json"], "key 'graphs': it has no graph no; name one of its graphs: agent, by_module"),
        ("js", PROJECT["langgraph.json"], "key 'graphs.js': it is JavaScript, which Python cannot load; run it on a"),
        ("agent", PROJECT["langgraph.json"], "there is no file {folder}/src/agent/graph.py; correct the path"),
    ],
)
def test_a_name_that_leads_nowhere(files, name, content, said):
    """It is refused with what is wrong in langgraph.json."""
    folder = files(**({} if content is None else {"langgraph.json": content}))
    with pytest.raises(GraphError) as caught:
        load_graph(name)
    assert said.format(folder=folder) in str(caught.value)


def test_a_graph_that_langgraphs_server_compiles(files):
    """It takes a `StateGraph` as well, where langgraph.json names it."""
    source = (
        "from langgraph.graph import START, MessagesState, StateGraph\n"
        "builder = StateGraph(MessagesState)\nbuilder.add_node('n', print)\nbuilder.add_edge(START, 'n')\n"
    )
    files(**{"langgraph.json": {"graphs": {"agent": "./built.py:builder"}}, "built.py": source})
    assert type(load_graph("agent")).__name__ == "CompiledStateGraph"


async def test_a_graph_that_is_left_out(files, monkeypatch):
    """Nobody needs it if each task names its own; otherwise the start says that it is not there."""
    monkeypatch.setitem(sys.modules, "graph", None)  # there is none, although this checkout has one
    files(**{"own.py": ECHO})
    scheduler = TaskScheduler(persistent=False)
    with pytest.raises(GraphError, match="graph='graph:graph': there is no module graph"):
        scheduler.start()
    scheduler = TaskScheduler(persistent=False, poll_interval=0.05)
    scheduler.add_task(hourly(graph="./own.py:graph"))
    async with scheduler:
        assert (await scheduler.run_task("hourly")).response == "Echo: Prompt of hourly"
        scheduler.add_task(hourly("other"))
        scheduler.trigger_task("other")
        await wait_until(lambda: scheduler.task_views()[1].problem, scheduler)
        assert "there is no module graph" in scheduler.task_views()[1].problem
    with pytest.raises(GraphError):
        scheduler.start()


async def test_a_graph_that_is_named_has_to_be_there(files):
    """Whatever the tasks name."""
    files(**{"own.py": ECHO})
    scheduler = TaskScheduler(persistent=False, graph="nowhere:graph")
    scheduler.add_task(hourly(graph="./own.py:graph"))
    with pytest.raises(GraphError):
        scheduler.start()
    await scheduler.stop()
