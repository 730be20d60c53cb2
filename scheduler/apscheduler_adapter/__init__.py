"""Adapts the engine to APScheduler 3.11: triggers, a job store, an executor and the scheduler; only this imports it."""

from scheduler.apscheduler_adapter.store_scheduler import StoreScheduler

__all__ = ["StoreScheduler"]
