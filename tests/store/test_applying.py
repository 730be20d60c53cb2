"""Tasks from a source, and schedulers that run, on each database."""

from store_kit import HOUR, LEASE, every, instant, once

from scheduler import TaskChanges

FILE = "tasks.toml"


def apply(process, *tasks, now=0, dry_run=False):
    return process.store.apply_tasks(tasks, FILE, instant(now), prune=True, dry_run=dry_run)


def test_one_transaction_adds_changes_and_removes(process):
    """What comes of it is in the store."""
    apply(process, every(HOUR, "a"), every(HOUR, "b"), every(HOUR, "c"))
    process.add(every(HOUR, "by-hand"))
    changes = apply(process, every(HOUR, "a"), every(60, "b"), once(-60, "over"), now=1)
    assert (changes.added, changes.changed, changes.kept, changes.removed) == ((), ("b",), ("a",), ("c",))
    assert [task_id for task_id, _ in changes.left_out] == ["over"]
    assert [listed.id for listed in process.store.list_tasks()] == ["b", "a", "by-hand"]


def test_a_dry_run_is_undone(process):
    """All of it, and the database works as before."""
    apply(process, every(HOUR, "a"), every(HOUR, "b"))
    before = process.store.list_tasks()
    changed = (every(60, "a"), every(HOUR, "c"))
    said = apply(process, *changed, now=1, dry_run=True)
    assert said == TaskChanges(added=("c",), changed=("a",), removed=("b",))
    assert process.store.list_tasks() == before
    assert apply(process, *changed, now=1) == said


def test_pruning_accounts_for_what_is_due(process):
    """A due time that has come unserved is in the history of the pruned task."""
    apply(process, every(60))
    apply(process, now=150)
    assert process.history() == [("skipped", 120, 1)]


def test_an_idle_scheduler_renews_its_lease(process, new_process):
    """So that others can tell that it runs; where nobody can look for its process, the end of the lease tells."""
    onlooker = new_process()
    for now in range(0, 3 * LEASE, 5):
        process.run_pass(now)
    assert onlooker.store.running_schedulers(instant(3 * LEASE)) == 1
    assert onlooker.store.running_schedulers(instant(5 * LEASE)) == 0
