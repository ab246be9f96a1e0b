"""Confinement of a process by itself, layer by layer; the order is that of docs/sandbox.md.

Every function raises OSError that names the layer which could not be had. Whether a lower
level will do is decided by the trainer, not here.
"""
