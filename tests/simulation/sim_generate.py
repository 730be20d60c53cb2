"""Random worlds: a script is made from a seed, and is all that a world needs."""

import random

EPOCHS = ["2026-01-05T00:00:00+00:00", "2026-03-28T22:00:00+00:00", "2026-10-24T22:00:00+00:00"]
"""An ordinary Monday, and the evenings before the clocks in Europe change."""
OFTEN = ["* * * * *", "*/2 * * * *", "*/5 * * * *", "1-59/3 * * * *", "0,30 * * * *", "*/7 * * * *"]
SELDOM = [
    "0 9 * * 1",
    "30 2 * * *",
    "0 9 * * 1-5",
    "0 */6 * * *",
    "15 2,3 * * *",
    "0 0 1 * 1",
    "30 1 * * 0",
    "0 12 */2 * *",
]
ZONES = [None, "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
OVERLAPS = ["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"]
CALLS = ["add", "again", "pause", "resume", "trigger", "remove", "cancel", "pause", "resume", "enable"]
FAULTS = ["crash", "stop", "suspend", "lock", "slow", "commit", "start", "clock"]
FEATURES = [
    "start_at", "end_at", "jitter", "max_runs", "grace", "timeout", "retry", "pause_after", "disabled", "session",
    "per_run", "raise", "hang", "resist", "long_runs", "rerun",
]  # fmt: skip
CHECKPOINTS = 0.06
"""The share of worlds whose graph is a real LangGraph with checkpoints, which takes ten times as long."""
REPEATS = 0.12
"""The share of worlds in which somebody calls `retry_run` and `backfill_task`."""
STUBBORN = 0.03
"""The share of worlds in which graphs do not end when they should."""
SIZES = ["tiny", "short", "long"]


def make(seed, size=None):
    """Return the script of a seed."""
    maker = Maker(seed, size)
    return _with_repeats(_with_stubborn_graphs(_with_checkpoints(maker.script())), maker.unit)


def _with_repeats(script, unit):
    """Let somebody run again what is over, and what was not run, in some worlds."""
    r = random.Random(script["seed"] + 13)
    if r.random() >= REPEATS:
        return script
    ids = [each for each in script["manners"] if not each.startswith("s")]
    calls = []
    for _ in range(r.choice([1, 2, 4])):
        at, task_id, by = round(r.uniform(0, script["horizon"]), 3), r.choice(ids), r.choice([99, 0, 1])
        kind, value = r.choice(
            [("retry", r.random() < 0.5), ("backfill", [r.choice([5, 30]) * unit, r.choice([1, 2])])]
        )
        calls.append([at, "call", kind, task_id, value, by])
    return {**script, "operations": sorted([*script["operations"], *calls], key=lambda each: each[0])}


def _with_stubborn_graphs(script):
    """Let the graphs of some worlds take too long, and resist their cancellation, while the next due time comes."""
    r = random.Random(script["seed"] + 11)
    if r.random() >= STUBBORN or script.get("checkpoints"):
        return script
    for manner in script["manners"].values():
        manner |= {"hang": 1, "resist": 1}
    for operation in script["operations"]:
        if operation[1:3] == ["call", "add"]:
            fields = operation[4]
            longest = fields.get("interval_seconds", 60)
            fields |= {
                "timeout_seconds": r.choice([longest, longest / 2]),
                "overlap": r.choice(["cancel_other", "skip"]),
            }
    return script


def _with_checkpoints(script):
    """Let the graphs of some worlds keep checkpoints, and ask."""
    r = random.Random(script["seed"] + 7)
    if r.random() >= CHECKPOINTS:
        return script
    for manner in script["manners"].values():
        manner["ask"] = r.choice([0, 0, 0.3, 1])
    answers = [[round(r.uniform(0, script["horizon"]), 3), "call", "answer", None, None, 99] for _ in range(3)]
    operations = sorted([*script["operations"], *answers], key=lambda each: each[0])
    return {**script, "checkpoints": True, "operations": operations}


class Maker:
    """Draws one script. `unit` is about the time between two due times, in seconds."""

    def __init__(self, seed, size):
        self.seed = seed
        self.random = r = random.Random(seed)
        self.size = size or r.choices(SIZES, [16, 3, 0.7])[0]
        self.unit = r.choice([3600, 7200]) if self.size == "long" else r.choice([1, 1, 5, 60])
        lengths = {"tiny": [8, 15, 25], "short": [30, 50, 80], "long": [24, 72, 168]}
        self.horizon = self.unit * r.choice(lengths[self.size])
        self.features = {name for name in FEATURES if r.random() < 0.35}
        themes = [None, None, "duel", "back", "outage", "stops"]
        self.theme = "storm" if self.size == "tiny" and r.random() < 0.08 else r.choice(themes)
        self.number = max(r.choice([1, 1, 2, 2, 3]), 2 if self.theme in {"duel", "outage", "storm"} else 1)

    def script(self):
        r = self.random
        settings = self._settings()
        self.settings = settings
        operations = [[self._start_of(index), "start", index] for index in range(self.number)]
        ids = ["a", "b", "c", "d"][: r.choice([1, 1, 2, 2, 3, 4])]
        is_plain = r.random() < 0.12
        manners = {each: {"seconds": [0.01, 0.2]} if is_plain else self._manner() for each in ids}
        for each in ids:
            at = round(r.uniform(0, 3 * self.unit), 3)
            operations.append([at, "call", "add", each, self._fields(at, plain=is_plain), r.choice([99, 0, 1])])
        for _ in range(0 if is_plain else r.choice([0, 1, 2, 4])):
            operations.append(self._call(ids, operations))
        operations += self._storm(manners, settings) if self.theme == "storm" else self._faults()
        operations.sort(key=lambda each: each[0])
        return {
            "seed": self.seed,
            "epoch": r.choice(EPOCHS),
            "horizon": self.horizon,
            "adds_again": r.random() < 0.4,
            "settings": settings,
            "manners": manners,
            "operations": operations,
        }

    def _settings(self):
        r = self.random
        poll = self.horizon / r.choice([15, 40, 70]) if self.size == "long" else self.unit * r.choice([1, 2, 3])
        lease = poll * r.choice([3, 4, 6])
        return {
            "poll": poll,
            "lease": lease,
            "slots": r.choice([1, 2, 3, 8, 32]),
            "grace": r.choice([0, 2, 10]) * (60 if self.size == "long" else 1),
            "containers": r.random() < 0.3,
        }

    def _start_of(self, index):
        r = self.random
        return 0 if index == 0 else round(r.choice([r.random(), r.uniform(0, self.horizon / 2)]), 3)

    def _moment(self):
        r = self.random
        at = r.uniform(0, self.horizon)
        if r.random() < 0.6:  # near a due time, or near the pass before it
            at = int(at) + r.choice([0, -0.0005, 0.0003, 0.0005, -0.015, -0.0148, -0.008, 0.001, 0.02, 0.5])
        return round(max(0.001, at), 5)

    def _has(self, feature):
        return self.random.random() < (0.6 if feature in self.features else 0.03)

    def _manner(self):
        r, unit = self.random, self.unit
        spans = [[0.001, 0.01], [0.1, 1], [unit * 0.5, unit * 3], [unit, unit * 12]]
        manner = {"seconds": [unit * 4, unit * 25] if "long_runs" in self.features else r.choice(spans)}
        return manner | {name: r.choice([0.2, 0.5, 1]) for name in ("raise", "hang", "resist") if self._has(name)}

    def _fields(self, at, *, plain):
        fields = self._schedule(at)
        r, unit = self.random, self.unit
        if plain:
            return fields
        options = {
            "max_runs": ("max_runs", lambda: r.choice([1, 2, 3, 6])),
            "grace": ("misfire_grace_seconds", lambda: r.choice([0, 0.5, 2, unit * 5])),
            "timeout": ("timeout_seconds", lambda: r.choice([0.05, 1, unit * 2])),
            "pause_after": ("pause_after_failures", lambda: r.choice([1, 2, 3])),
            "session": ("session_id", lambda: r.choice(["s1", "s2"])),
            "per_run": ("session_mode", lambda: "per_run"),
            "disabled": ("enabled", lambda: r.random() < 0.5),
        }
        fields |= {name: draw() for feature, (name, draw) in options.items() if self._has(feature)}
        if "session_id" in fields:
            fields.pop("session_mode", None)
        if fields["task_type"] == "one_time":
            fields.pop("max_runs", None)
        fields |= {"overlap": r.choice(OVERLAPS), "coalesce": r.random() < 0.6, "rerun_after_crash": self._has("rerun")}
        if self._has("retry"):
            delays = {"retry_delay_seconds": r.choice([0, 0.5, unit]), "retry_max_delay_seconds": unit * 2}
            fields |= {"max_attempts": r.choice([2, 3]), **delays}
        return fields

    def _schedule(self, at):
        r, unit = self.random, self.unit
        kind = r.choices(["interval", "cron", "one_time"], [4, 3, 2])[0]
        fields = {"task_type": kind}
        if kind == "one_time":
            fields["run_at"] = int(at + r.choice([1, 2, 5, 20]) * unit) + r.choice([0, 0, 0.5])
            return fields
        if kind == "interval":
            fields["interval_seconds"] = int(r.choice([1, 2, 3, 5, 10, 17, 30]) * unit)
        else:
            fields["cron_expression"] = r.choice(SELDOM if self.size == "long" else OFTEN)
            zone = r.choice(ZONES)
            fields |= {} if zone is None else {"timezone": zone}
        if self._has("start_at"):
            fields["start_at"] = r.choice([-1000, -7, 0, 5, 20]) * unit
        if self._has("end_at"):
            fields["end_at"] = max(fields.get("start_at", 0), int(self.horizon * r.choice([0.3, 0.8, 1.2]))) + unit
        if self._has("jitter"):
            fields["jitter_seconds"] = int(r.choice([1, 3, 10]) * unit)
        return fields

    def _call(self, ids, operations):
        r, at, task_id = self.random, self._moment(), self.random.choice(ids)
        kind, by = r.choice(CALLS), r.choice([99, 0, 1])
        if kind == "add":
            return [at, "call", "add", task_id, self._fields(at, plain=False), by]
        if kind not in {"again", "enable"}:
            return [at, "call", kind, task_id, None, by]
        added = [each for each in operations if each[1:4] == ["call", "add", task_id]]
        fields = dict(r.choice(added)[4])
        if kind == "enable":
            fields["enabled"] = not fields.get("enabled", True)
        return [at, "call", "add", task_id, fields, by]

    def _storm(self, manners, settings):
        """Many short runs at the same time, more than there are slots, and a fault in the middle of them."""
        r = self.random
        due = self.unit * r.choice([3, 5])
        settings["slots"] = r.choice([1, 2, 3])
        operations = []
        for number in range(r.choice([8, 20, 40])):
            task_id = f"s{number}"
            manners[task_id] = {"seconds": r.choice([[0.001, 0.004], [0.001, 0.02]])}
            fields = {"task_type": "one_time", "run_at": due + r.choice([0, 0, 0, 0.05]), "session_mode": "per_run"}
            fields["rerun_after_crash"] = r.random() < 0.5
            operations.append([round(2 * self.unit + r.random() / 100, 5), "call", "add", task_id, fields, 99])
        for _ in range(r.choice([1, 2])):
            at = round(due + r.choice([0.01, 0.05, 0.2]) * r.random() + r.choice([-0.015, 0, 0.002]), 5)
            kind = r.choice(["suspend", "suspend", "crash", "stop", "commit"])
            fault = getattr(self, f"_{kind}")()
            if kind == "suspend":
                fault[1] = round(settings["lease"] * r.choice([0.1, 1.5, 4]), 3)
            operations.append([at, kind, *fault])
        return operations

    def _faults(self):
        r = self.random
        number, kinds = r.choice([0, 1, 1, 2, 3]), r.sample(FAULTS, r.choice([1, 1, 2, 3, 5]))
        themes = {
            "duel": ["suspend", "suspend", "crash"],
            "back": ["clock", "clock", "crash"],
            "outage": ["lock", "lock", "commit"],
            "stops": ["stop", "stop", "crash", "start", "slow"],
        }
        if self.theme is not None:
            number, kinds = max(1, number), themes[self.theme]
        return [self._fault(r.choice(kinds)) for _ in range(number)]

    def _fault(self, kind):
        return [self._moment(), kind, *getattr(self, f"_{kind}")()]

    def _index(self):
        return self.random.randrange(self.number)

    def _again(self):
        """Return after how long a process starts again, if it does."""
        r = self.random
        soon = r.choice([0.01, 1, 2 * self.unit, 10 * self.unit])
        return None if r.random() < 0.2 else round(soon * r.random() + 0.001, 3)

    def _start(self):
        return [self._index()]

    def _crash(self):
        r = self.random
        return [self._index(), r.choice(["now", "pre", "post"]), r.choice([1, 1, 2, 3, 10]), self._again()]

    def _stop(self):
        mode = self.random.choice(["await", "await", "unawaited", "cancelled", "restart"])
        return [self._index(), mode, self._again()]

    def _suspend(self):
        r, lease = self.random, self.settings["lease"]
        return [self._index(), round(r.choice([0.3, 2, lease * 1.5, lease * 3]) * r.uniform(0.5, 1), 3)]

    def _lock(self):
        r, lease = self.random, self.settings["lease"]
        return [round(r.choice([0.5, 3, 12, min(lease * 2, 300)]) * r.uniform(0.3, 1), 3)]

    def _slow(self):
        r, lease = self.random, self.settings["lease"]
        return [round(r.uniform(1, 10) * self.unit, 3), round(min(r.choice([0.02, 0.2, 0.9]), lease / 12), 3)]

    def _commit(self):
        r, lease = self.random, self.settings["lease"]
        seconds = round(r.uniform(0.5, min(lease / 2.5, 60)), 3)
        return [seconds, r.choice(["before", "after", "either"]), r.choice([0.2, 0.5, 1])]

    def _clock(self):
        r, lease = self.random, self.settings["lease"]
        step = r.choice([0.3, 2, lease * 0.4, lease * 2, self.unit * 30, 3600]) * r.uniform(0.5, 1)
        is_back = self.theme == "back" and r.random() < 0.7
        return [round(-step if is_back else step, 3)]
