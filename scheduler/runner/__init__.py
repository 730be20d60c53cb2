"""The earlier name of `scheduler.graphs`, for programs that import `callbacks` from here."""

from scheduler.graphs import callbacks

__all__ = ["callbacks"]
