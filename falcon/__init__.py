"""FALCON: reinforcement learning of code models from the feedback of executed programs.

The library behind the pipeline. It knows nothing of Prefect, MLflow, DVC or Great
Expectations; ``tasks/`` and ``flows/`` bring those in.
"""

__version__ = "0.2.0"
