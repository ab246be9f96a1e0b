"""What crosses between the trainer, the worker and the confined processes.

Our code, used on both sides of the wall. What a confined process sends is never believed:
it is parsed strictly, as frames of plain data. Imports the standard library only.
"""
