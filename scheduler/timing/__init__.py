"""Time, without side effects: cron expressions, due times, what becomes of those that have come, and instants.

Everything here is a function of its arguments: the present time and random numbers are passed in.
"""
