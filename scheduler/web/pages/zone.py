"""The zone of the viewer's clock."""

from scheduler import TaskScheduler
from scheduler.web.times import zone_named, zone_names
from scheduler.web.visit import Answer, Page, Redirect, Refused, Visit

ZONE_COOKIE = "scheduler_zone"


def zone(scheduler: TaskScheduler, visit: Visit) -> Answer:  # noqa: ARG001 (like every page)
    """Return the list of zones; or remember the zone that was chosen."""
    chosen = visit.given("name")
    if chosen is None:
        return Page("zone.html", "Time zone", {"names": zone_names()})
    if zone_named(chosen) is None:
        raise Refused(400, "There is no time zone of this name; give one such as Europe/Berlin.")
    return Redirect("./", cookie=(ZONE_COOKIE, chosen))
