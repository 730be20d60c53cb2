"""What is measured: the workloads, the cases of each, and their marks."""

from benchmarks.model import Case, Mark, Workload

OURS = "ours"

STORM = Workload(
    "storm",
    "5,000 one-time tasks due at one instant, durable and with their history, beside as many plain calls of the graph",
    [
        Case(OURS, "storm:ours"),
        Case("plain, 16 at a time", "storm:plain", {"at_once": 16}),
        Case("plain, 50 at a time", "storm:plain", {"at_once": 50}),
    ],
    [
        Mark("time, to 16 at a time", OURS, "seconds", "plain, 16 at a time", at_most=1.25, goal=1.10),
        Mark("time, to 50 at a time", OURS, "seconds", "plain, 50 at a time", at_most=1.5),
        Mark("CPU, to 16 at a time", OURS, "cpu_seconds", "plain, 16 at a time"),
        Mark("longest pause of the loop", OURS, "stall_ms", at_most=100, goal=50, unit="ms"),
    ],
)
ADD = Workload(
    "add",
    "10,000 cron tasks by one `add_tasks`, the definitions built inside the time; and single durable calls",
    [
        Case(OURS, "add:many"),
        Case("heap and sqlite3", "add:many_bare"),
        Case("ours, no two alike", "add:many", {"all_different": True}),
        Case("heap and sqlite3, no two alike", "add:many_bare", {"all_different": True}),
        Case("ours, single", "add:single"),
        Case("sqlite3, single", "add:single_bare"),
    ],
    [
        Mark("a task of many", OURS, "us_per_task", at_most=100, unit="µs"),
        Mark("a task of many, to the heap", OURS, "us_per_task", "heap and sqlite3", at_most=0.75, goal=0.5),
        Mark(
            "the same, no two expressions alike",
            "ours, no two alike",
            "us_per_task",
            "heap and sqlite3, no two alike",
        ),
        Mark("one add_task, to one commit", "ours, single", "us", "sqlite3, single", at_most=1.75, goal=1.3),
    ],
)
IMPORT = Workload(
    "import",
    "`import scheduler` in fresh interpreters, beside the packages that it stands on; no LangGraph comes with it",
    [Case(OURS, "importing:ours"), Case("the packages", "importing:stands_on")],
    [Mark("CPU, to the packages", OURS, "cpu_ms", "the packages", at_most=1.10, goal=1.05)],
)

ALL = [STORM, ADD, IMPORT]
