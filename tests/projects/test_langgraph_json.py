"""langgraph.json is read strictly: what is wrong with it is said with the file, the key and the way to correct it."""

import json
import os
import sys

import pytest

from scheduler.errors import ProjectFileError, SchedulerError
from scheduler.langgraph_json import enter, find_project, read_project


def written(folder, content):
    file = folder / "langgraph.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_project(folder):
    """Graphs as texts or objects, the folders of dependencies, and variables; what concerns a server is passed over."""
    graphs = {"agent": "./src/agent/graph.py:graph", "other": {"path": "pkg.other:make", "description": "Another."}}
    for place in ("src/agent", "lib/src", "tools"):
        (folder / place).mkdir(parents=True)
    (folder / "tools/__init__.py").touch()
    dependencies = [".", "./lib", "./tools", "langchain>=1"]
    content = {"graphs": graphs, "dependencies": dependencies, "env": {"KEY": "1"}, "http": {"app": "x:y"}}
    project = read_project(written(folder, content))
    assert project.graphs == {"agent": "./src/agent/graph.py:graph", "other": "pkg.other:make"}
    assert project.import_folders == [folder / each for each in ("src", ".", "lib/src", "lib")]
    assert project.environment() == {"KEY": "1"}
    assert project.source("agent") == f"{folder}/src/agent/graph.py:graph"
    assert project.source("other") == "pkg.other:make"


AGENT = '"graphs": {"agent": "./graph.py:graph"}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", ": it is no JSON: Expecting property name enclosed in double quotes in line 1, column 2; correct it"),
        (f"{{// a comment\n{AGENT}}}", ": it is no JSON: "),
        ("[]", ": it is a list; write an object"),
        ("{}", ", key 'graphs': it is missing; write \"graphs\": {"),
        ('{"graphs": ["./graph.py:graph"]}', ", key 'graphs': it is a list; write"),
        ('{"graphs": {"a": 5}}', ", key 'graphs.a': it is a number; write where the graph is"),
        ('{"graphs": {"a": null}}', ", key 'graphs.a': it is null; write where"),
        ('{"graphs": {"a": {"description": "x"}}}', ", key 'graphs.a': it has no path; write where"),
        ('{"graphs": {"a": "./graph.py"}}', ", key 'graphs.a': './graph.py' does not name a variable after a colon"),
        ('{"graphs": {"a": "./graph.py:"}}', ", key 'graphs.a': './graph.py:' does not name a variable"),
        ('{"graphs": {"a": "x:a", "a": "y:b"}}', ", key 'a': the key is there twice; leave one of them out"),
        (f'{{{AGENT}, "dependencies": "."}}', ", key 'dependencies': it is no list of texts; write"),
        (f'{{{AGENT}, "dependencies": [1]}}', ", key 'dependencies': it is no list of texts; write"),
        (f'{{{AGENT}, "env": [".env"]}}', ', key \'env\': it is a list; write "env": ".env"'),
        (f'{{{AGENT}, "env": {{"N": 1}}}}', ", key 'env.N': it is a number; put the value in quotes"),
    ],
)
def test_what_is_wrong(folder, content, said):
    """Each error names the file and, where there is one, the key, and says what to write."""
    file = written(folder, content)
    with pytest.raises(ProjectFileError) as caught:
        read_project(file)
    assert str(caught.value).startswith(f"{file}{said}")
    assert caught.value.file == str(file)
    assert isinstance(caught.value, SchedulerError)


def test_a_file_that_is_no_text(folder):
    """It is no JSON either."""
    (folder / "langgraph.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ProjectFileError, match="it cannot be read"):
        find_project([folder])


def test_graphs_that_cannot_be_had(folder):
    """One that is not there, and one that is JavaScript."""
    project = read_project(written(folder, {"graphs": {"js": "./src/graph.ts:graph", "py": "./graph.py:graph"}}))
    assert project.python_graphs == ["py"]
    with pytest.raises(ProjectFileError, match=r"key 'graphs': it has no graph no; name one of its graphs: js, py"):
        project.source("no")
    with pytest.raises(ProjectFileError, match=r"key 'graphs.js': it is JavaScript, which Python cannot load; run it"):
        project.source("js")


def test_the_environment(folder, monkeypatch):
    """Variables are set unless they are; a file of variables that is missing is passed over, as the server does."""
    monkeypatch.setenv("IS_SET", "before")
    (folder / ".env").write_text("IS_SET=after\n# a comment\nexport NEW='a b'\nWITHOUT_VALUE\nJOINED=${IS_SET}!\n")
    project = read_project(written(folder, {"graphs": {}, "env": ".env"}))
    enter(project)
    assert (os.environ["IS_SET"], os.environ["NEW"]) == ("before", "a b")
    assert "WITHOUT_VALUE" not in os.environ
    assert project.missing_env is None
    assert str(folder) in sys.path
    (folder / ".env").unlink()
    assert project.missing_env == folder / ".env"
    assert project.environment() == {}
    (folder / ".env").write_bytes(b"KEY=\xff")
    with pytest.raises(ProjectFileError, match=r"key 'env': '.env' cannot be read"):
        project.environment()


def test_the_first_folder_that_has_one(folder):
    """None has one, or the second has."""
    (folder / "below").mkdir()
    assert find_project([folder]) is None
    written(folder / "below", {"graphs": {}})
    assert find_project([folder, folder / "below"]).folder == folder / "below"
