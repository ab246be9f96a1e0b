"""Sections of training and scoring: ``rollout``, ``train``, ``benchmark`` and ``gate``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from falcon.config.sections import Section


class RolloutSettings(Section):
    """The rollout stage: what the base policy writes before training."""

    problems: int = Field(0, ge=0)  # Train problems to roll out; 0: all
    samples: int = Field(4, ge=1)


class MetaSettings(Section):
    """MRLF (Algorithm 1)."""

    order: Literal[0, 1, 2] = 1  # 0: no inner loop; 1: first order; 2: through the inner step
    inner_lr: float = Field(0.1, ge=0)  # alpha of eq. 3 (SGD on the adapters)
    inner_steps: int = Field(1, ge=1, le=5)
    tasks: int = Field(4, ge=1)  # Tasks N of a meta-batch
    samples: int = Field(8, ge=2)  # Programs sampled for a task in "Code Generation"
    evaluation_samples: int = Field(4, ge=1)
    """Programs that the adapted policy samples for a task in "Evaluation"."""
    evaluate_with: Literal["adapted", "meta"] = "adapted"
    gradient: Literal["outer", "all", "each"] = "all"
    """Of the meta-update. ``outer``: the gradient of L_meta (eq. 4). ``all``: with those of the
    inner steps added, as in Reptile (Nichol et al., 2018), so that theta itself learns what
    adaptation does; better in measurements (docs/mrlf.md). ``each``: those of the inner steps make
    an update of their own first: two steps of the optimiser for the same programs."""
    short_batch: int = Field(16, ge=1)  # Experiences of short-term memory in an inner mini-batch
    long_batch: int = Field(2, ge=0)
    """Experiences of the long-term memory in a task's mini-batch, inner and outer."""
    remembered: Literal["passing", "all"] = "passing"
    """Which of those are trained on. ``all`` is the literal reading of Algorithm 1; but a program
    that fails also earns style and complexity, and an older policy sampled it."""
    baseline: Literal["none", "greedy", "group_mean"] = "group_mean"
    """What is subtracted from coarse and error rewards."""
    latest_rewards: bool = True
    """Whether the latest samples earn the rewards of tests and judge. If not, only references, eq.
    9 and programs of the long-term memory train (Table IV)."""
    quality_baseline: Literal["none", "group_mean"] = "group_mean"
    """What is subtracted from style and complexity. With ``none``, scores up to +2 reinforce
    every program, wrong ones too."""


class LossWeights(Section):
    """Weights of L_j in the inner loss; Algorithm 1 writes a plain sum."""

    sl: float = Field(1.0, ge=0)
    coarse: float = Field(1.0, ge=0)
    error: float = Field(1.0, ge=0)
    complexity: float = Field(1.0, ge=0)
    style: float = Field(1.0, ge=0)
    negative: float = Field(1.0, ge=0)


class TrainSettings(Section):
    """The outer loop: optimiser, length, checkpoints."""

    method: Literal["mrlf"] = "mrlf"  # A name of `falcon.training.methods.METHODS`
    start: Literal["base", "champion"] = "base"
    """The weights it starts from: a new adapter on the base model, or that of the model in service
    when the run began (schedules set this). No model in service: ``base``."""
    steps: int = Field(200, ge=1)
    learning_rate: float = Field(1e-3, gt=0)  # beta of eq. 4 (AdamW on the adapters)
    warmup_steps: int = Field(0, ge=0)
    supervised_epochs: int = Field(0, ge=0)
    """Passes over one reference of every problem (eq. 2) before Algorithm 1 begins, ``meta.tasks``
    problems an update: the supervised checkpoint that CodeRL, RLTF and PPOCoder start from. The
    learning rate falls over these updates and ``steps`` together."""
    weight_decay: float = Field(0.05, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    micro_batch_tokens: int = Field(1536, ge=256)
    """Padded tokens of one forward pass: bounds memory whatever the lengths. On a CPU, as many
    passes are made at once as there are lanes."""
    gradient_checkpointing: bool = False
    """Activations are computed again in the backward pass: less memory, about a third more time."""
    validate_every: int = Field(10, ge=0)
    """Steps between validations that choose theta_final (eq. 5); 0: the last step."""
    validation_problems: int = Field(16, ge=1)
    keep_checkpoints: int = Field(2, ge=1)
    checkpoint_every: int = Field(1, ge=1)
    sampler: Literal["uniform", "difficulty", "success"] = "uniform"
    """Which tasks come next: every one once an epoch; harder ones later; those that pass now and
    then before those that always or never do."""
    meta: MetaSettings = MetaSettings()
    loss: LossWeights = LossWeights()

    @model_validator(mode="after")
    def _references_weigh(self) -> TrainSettings:
        if self.supervised_epochs and self.loss.sl == 0:
            raise ValueError("supervised_epochs needs loss.sl above 0, the weight of references")
        return self


class BenchmarkSettings(Section):
    """What policies are scored on, and how."""

    names: tuple[str, ...] = ("humaneval", "builtin")
    """Benchmarks: ``humaneval``, ``builtin`` (its test split), ``mbpp:PATH``, ``jsonl:PATH``."""
    difficulties: tuple[str, ...] = ()  # Difficulties scored; empty: all
    limit: int = Field(0, ge=0)  # Problems of each benchmark, evenly spread; 0: all
    samples: int = Field(1, ge=1)  # 1: greedy; more: sampled, for pass@k
    temperature: float = Field(0.6, gt=0)
    top_p: float = Field(0.95, gt=0, le=1)
    max_new_tokens: int = Field(1024, ge=8)
    """Room for an answer. With less, answers of chat models are cut, and being brief is scored."""
    batch_size: int = Field(32, ge=1)


class GateSettings(Section):
    """When a challenger may replace the champion."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    metric: Literal["pass_rate", "reward"] = "reward"
    """What the paired test is on: share of problems solved, or the mean reward of the tests (eq. 7
    with eq. 8), which is no part of how R(W, F) ranks programs."""
    require: Literal["better", "not_worse"] = "better"
    """``better``: the interval of the paired difference lies above 0; ``not_worse``: its mean does
    not fall below the tolerance."""
    tolerance: float = Field(0.03, ge=0)  # Greatest fall of pass@1 on any benchmark
    quality_tolerance: float = Field(0.25, ge=0)  # Most that mean style, complexity (-1 to 2) fall
    max_fault_rate: float = Field(0.01, ge=0, le=1)
    max_tamper_rate: float = Field(0.05, ge=0, le=1)
