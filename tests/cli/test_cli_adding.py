"""Tasks that are added where they have been before."""

from helpers import one_time, soon


def test_a_task_that_is_over_is_not_added_again(place):
    """`add` says that nothing was changed, where the library leaves the task out with a warning."""
    with place.face() as face:
        face.add_task(one_time("once", run_at=soon(3_600_000)))
        face.remove_task("once")
    given = ("add", "--id", "once", "--prompt", "Go on.", "--at", "2020-01-01T10:00Z")
    assert "error: task 'once' has no due time left; nothing was changed" in place.quick(*given, code=1).stderr
    assert place.quick_json("list") == []
