"""The slot's worker process: trusted, not confined, and it never runs code of a program.

It starts the confined processes, feeds them, reads their clocks, kills them, and compares what
they return with what is expected: expected values are here and in the oracle only. Imports
``wire`` and the standard library. Single-threaded; it dies with the trainer's slot thread, and
the confined processes die with it.
"""
