"""Adapts the engine to APScheduler 3.11: triggers, a job store, an executor and the scheduler; only this imports it."""

from scheduler.apscheduler_adapter.event_loop import StoreScheduler
from scheduler.engine.settings import LoopSettings
from scheduler.engine.ticker import NoTicker, ThreadTicker, Ticker

__all__ = ["LoopSettings", "NoTicker", "StoreScheduler", "ThreadTicker", "Ticker"]
