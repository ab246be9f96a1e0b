"""Training methods, one file each; ``train.method`` chooses one."""

from falcon.training.methods.mrlf import Mrlf

METHODS = {"mrlf": Mrlf}
"""Each method by its name in the settings."""
