"""Rows of the tables, whole. What a query asks for beyond these has a type beside the query."""

from typing import NamedTuple


class RunRow(NamedTuple):
    """A row of `scheduler_runs`; instants are microseconds since 1970, flags are 0 or 1."""

    id: str
    task_id: str
    seq: int
    scheduled_at: int
    ready_at: int
    started_at: int | None
    finished_at: int | None
    status: str
    attempt: int
    coalesced: int
    trigger: str
    exclusive: int
    cancel_requested: int
    owner: str | None
    thread_id: str
    checkpointed: int
    resumed: int
    questions: str | None
    answer: str | None
    expires_at: int | None
    thread_until: int | None
    response: str | None
    error: str | None
    earlier_attempts: str | None
    current_step: str | None
    usage: str | None
    warn_at: int | None
    prompt: str | None
    metadata: str | None
    cancel_reason: str | None
    retry_of: str | None
    continues: str | None
    max_concurrent: int | None


class TaskRow(NamedTuple):
    """A row of `scheduler_tasks`."""

    id: str
    definition: str
    schedule: str
    zone: str
    anchor: int
    next_due: int | None
    paused: int
    pause_reason: str | None
    started_runs: int
    failures: int
    last_seq: int
    finished_at: int | None
    removed: int
    problem: str | None
    source: str | None
    warn_at: int | None
    paused_at: int | None
    pause_until: int | None
    words: str | None


class OwnerRow(NamedTuple):
    """A row of `scheduler_owners`."""

    id: str
    boot: str
    namespace: str
    pid: int
    started: int
    lease_until: int
    lease_length: int | None


class PurgedRow(NamedTuple):
    """A row of `scheduler_purged`."""

    id: str
    schedule: str
    started_runs: int
