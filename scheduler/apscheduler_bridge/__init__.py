"""The seams into APScheduler 3.11: triggers, a job store, an executor and an event loop; nothing else imports it."""

from scheduler.apscheduler_bridge.event_loop import StoreScheduler
from scheduler.apscheduler_bridge.settings import LoopSettings
from scheduler.apscheduler_bridge.ticker import NoTicker, ThreadTicker, Ticker

__all__ = ["LoopSettings", "NoTicker", "StoreScheduler", "ThreadTicker", "Ticker"]
