"""One file for each workload; each function is one case, run in a process of its own, and proves that it did the work.

A case gets a `Setting` and returns its figures by name. `workloads.py` says which cases there are.
"""
