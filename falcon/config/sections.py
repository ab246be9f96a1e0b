"""Sections of the settings, all but those of training and scoring."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Recall = Literal["train", "eval", "both", "off"]  # phases with recall: values of `memory.at`


class Section(BaseModel):
    """A section of the settings: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataSettings(Section):
    """What the prepare stage reads."""

    sources: tuple[str, ...] = ("builtin",)  # Problem sources: `builtin`, `mbpp:PATH`, `jsonl:PATH`
    difficulties: tuple[str, ...] = ("introductory", "interview", "competition")
    """Difficulties kept for training; benchmarks keep all."""
    pass_rates: tuple[float, float] = (0.0, 1.0)
    """Training and validation problems are kept if the share of programs by which ``policy.model``
    passes them, as their file says, lies in this range, ends included; with (0, 1) all are, also
    those of which it is not known. What a model always or never solves teaches it nothing."""
    leak_ngram: int = Field(13, ge=3)
    """A held-out and a training problem that share so many words in a row are a leak."""
    leak_similarity: float = Field(0.97, gt=0, le=1)
    """So are two whose statements' embeddings have at least this cosine."""

    @field_validator("pass_rates")
    @classmethod
    def _check_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 1:
            raise ValueError("two shares from 0 to 1, the lower one first")
        return value


class PolicySettings(Section):
    """The model that writes programs."""

    model: str = "smollm2-135m-instruct"
    """``smollm2-135m-instruct`` (in its package), another of ``falcon models``, a folder, a GGUF
    file or a hub name."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the frozen backbone; adapters are always float32. ``auto``: bfloat16 on a
    GPU and on processors that multiply it (AMX, AVX-512 BF16), where it is 1.5 to several times
    faster; float32 elsewhere, where bfloat16 is slower."""
    lora_rank: int = Field(16, ge=1)
    lora_alpha: float = Field(32.0, gt=0)  # the adapter's output times lora_alpha / lora_rank
    lora_targets: tuple[str, ...] = ()
    """Names of the linear layers that get an adapter; empty: every linear of the blocks."""
    max_prompt_tokens: int = Field(768, ge=32)  # problems with longer prompts are left out
    prompt: Literal["auto", "chat", "chat-open", "evalplus", "completion", "few-shot", "apps"] = (
        "auto"
    )
    """Form of the prompts, in training and benchmarks alike (docs/benchmarks.md). ``auto``: what
    suits the model best with a chat template, ``apps`` for encoder-decoder models, else
    ``completion``. ``chat-open`` for a server's model whose tokenizer is not here."""
    server: str = ""
    """Address of an OpenAI-compatible server that writes with ``model``, such as
    ``http://127.0.0.1:8000/v1``; empty: this process writes (docs/recipes.md)."""
    key_env: str = ""  # Name of the environment variable that holds the server's key; empty: none
    tokenizer: str = ""
    """With ``server``: the model whose tokenizer makes the prompts, named as ``model`` is; empty:
    ``model`` itself, if it is here; ``server``: none, the server's own template is used."""

    @field_validator("server")
    @classmethod
    def _check_server(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s]+", value):
            raise ValueError("an address like http://127.0.0.1:8000/v1, or empty")
        return value


class SamplingSettings(Section):
    """How programs are sampled. The gradient masks tokens by the same top_p."""

    temperature: float = Field(0.6, gt=0)
    top_p: float = Field(0.95, gt=0, le=1)
    max_new_tokens: int = Field(256, ge=8)
    batch_size: int = Field(32, ge=1)


class SandboxSettings(Section):
    """Limits of one program. Processor time decides; wall time only ends what hangs."""

    cpu_seconds: float = Field(2.0, gt=0)  # Processor seconds for each test
    total_cpu_seconds: float = Field(8.0, gt=0)
    """Processor seconds for all tests of a program; where a quarter of ``cpu_seconds`` for each is
    more, that, up to four times as many."""
    memory_mib: int = Field(256, ge=32)
    output_kib: int = Field(1024, ge=1)


class CriticSettings(Section):
    """A language model that is asked for judgements (``feedback.judge`` model, api, recorded)."""

    model: str = ""
    """A chat model (package, folder or hub name) for ``model``; its name at the endpoint for
    ``api``."""
    url: str = ""  # Address of an OpenAI-compatible server, such as `http://127.0.0.1:8000/v1`
    key_env: str = ""  # Name of the environment variable that holds the key; empty: no key
    recorded: str = ""  # File of answers, as critics write them (`answers.jsonl`)
    max_tokens: int = Field(512, ge=16)
    batch_size: int = Field(8, ge=1)  # Questions that a local model answers in one batch
    at_once: int = Field(4, ge=1)  # Requests to an endpoint that may be open at the same time
    requests_per_minute: float = Field(120.0, gt=0)
    timeout_s: float = Field(60.0, gt=0)
    retries: int = Field(4, ge=0)
    price_in: float = Field(0.0, ge=0)  # Price of a million prompt tokens, for the reported cost
    price_out: float = Field(0.0, ge=0)  # Price of a million answer tokens


class FeedbackSettings(Section):
    """Rewards (eq. 7 to 9, style, complexity) and how they add up."""

    adaptive: Literal["replace", "add"] = "replace"
    """Eq. 8 in place of the failure value of eq. 7, or as a loss of its own beside it."""
    judge: Literal["static", "recorded", "model", "api"] = "static"
    """Who scores style and complexity: computed; scores from a file; a local chat model; a chat
    model behind an endpoint."""
    recorded_scores: str = ""
    critic: CriticSettings = CriticSettings()
    alpha: float = 1.0  # Weight of unit tests T in R(W, F)
    beta: float = 1.0  # Weight of style S in R(W, F)
    gamma: float = 1.0  # Weight of complexity C in R(W, F)
    delta: float = 1.0  # Weight of error feedback E in R(W, F)
    error_lines: Literal["exact", "first_occurrence"] = "exact"
    """Where an error's line is: at its number, or at the first line of the same text (RLTF)."""
    negative_counts: Literal["share", "raw"] = "share"
    """N_error of eq. 9 as a share of the task's samples, or as the raw count."""

    @model_validator(mode="after")
    def _check_judge(self) -> FeedbackSettings:
        if self.judge == "recorded" and not self.recorded_scores:
            raise ValueError("judge: recorded needs recorded_scores, the path of the scores file")
        if self.judge in ("model", "api") and not self.critic.model:
            raise ValueError(f"judge: {self.judge} needs critic.model, the name of a chat model")
        if self.judge == "api" and not self.critic.url:
            raise ValueError("judge: api needs critic.url, the address of the endpoint")
        return self


class MemorySettings(Section):
    """Long-term and short-term memory."""

    encoder: str = "all-minilm-l6-v2"
    """phi of eq. 6: ``all-minilm-l6-v2`` (in its package), a folder or a hub name."""
    demonstrations: int = Field(32, ge=1)
    """Problems whose reference and one failing variant seed the memory, those of the demo split
    first; at most all there are."""
    top_k: int = Field(3, ge=0)  # experiences recalled for a task; 0: no recall
    min_similarity: float = Field(0.3, ge=-1, le=1)
    at: Recall = "both"
    """Phases with recall. Models of some 100 million parameters copy recalled text instead of
    using it: for them ``off`` is better (docs/memory.md)."""
    into: Literal["prompt", "weights"] = "prompt"
    """How recalled programs are used. ``prompt``: as text before the task. ``weights``: in an inner
    step of Algorithm 1 on those that passed, before the model answers; in training, the inner
    mini-batch has them instead of a reference of the task and ``meta.long_batch`` others."""
    recall_tokens: int = Field(256, ge=0)
    """Most tokens of recalled text in a prompt; the task itself is never cut."""
    error_share: Literal["memory", "uniform"] = "memory"
    """P_error of eq. 9: from long-term memory, or the same for every type of error."""
    min_score: float | None = None
    """Experiences of a lower score are not recalled; at 2 only programs that passed are."""
    diversity: float = Field(0.0, ge=0, lt=1)
    """Above 0, recall prefers experiences that differ (maximal marginal relevance)."""
    hnsw_neighbors: int = Field(32, ge=4, le=128)
    """Neighbours of a vector in the index. Chroma's default, 16, misses more near vectors."""
    hnsw_construction: int = Field(200, ge=16)
    """Candidates for the place of a new vector: more give a better index, built more slowly."""
    hnsw_search: int = Field(200, ge=16)
    """Candidates of a search, whose time grows with them; may be changed at any time. 200 find the
    nearest ten among embeddings of texts, which lie in groups (docs/lab/memory.md)."""
    smoothing: float = Field(1.0, gt=0)  # Added to the count of each error type in P_error (eq. 9)
    forgetting: float = Field(1.0, gt=0, le=1)
    """Each later experience multiplies the weight of an error in P_error by this; 1: none fades."""
    short_term_cap: int = Field(6400, ge=1)
    start: Literal["champion", "last", "empty"] = "champion"
    """What a run that carries on starts with: the memory of the model in service, that which the
    last run left (also one that was refused), or none."""
    keep: int = Field(50_000, ge=0)  # Most experiences to start with, best first; 0: all

    @field_validator("at", mode="before")
    @classmethod
    def _read_off(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads a bare `off` as false


class MachineSettings(Section):
    """How this machine does the work. These settings change no result, and no stage depends on
    them: after an edit nothing runs again, and a training resumes."""

    workers: int = Field(2, ge=1)  # Programs that the sandbox runs at the same time
    retries: int = Field(2, ge=0)
    """Times a fault of ours is tried again before it is reported as ``sandbox_error``."""
    allow_weak: bool = False  # Consent to run programs at isolation level L1
    cache: bool = True  # Keep verdicts in the cache folder, so that equal samples are judged once
    processes: int = Field(1, ge=1)
    """Training processes of this machine that share the tasks of a step, one for each GPU. The
    numbers are those of one process up to the order of sums."""
    launcher: str = ""
    """Command that starts the training's processes, as ``accelerate launch --config_file
    launch/machine.yaml``; ``-m tasks train`` is added. Empty: ``processes`` of them, without it."""
    shard: bool = False
    """Split the frozen backbone over the processes (FSDP): for models that are too large to hold
    beside what a training pass needs."""
    search: Literal["auto", "chroma", "exact"] = "auto"
    """Of long-term memory. ``chroma``: by the approximate index; ``exact``: compare with every
    vector in RAM, and keep no index; ``auto``: the index, but exactly up to 131,072 texts, where
    that is as fast."""
    server: str = ""
    """Address of a Chroma server (``http://host:port``) that several machines share; empty: a
    folder of this machine."""

    @field_validator("server")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/\s]+/?", value):
            raise ValueError("an address like http://127.0.0.1:8123, or empty")
        return value


Event = Literal["promotion", "refusal", "failure", "approval"]  # values of `notify.events`


class NotifySettings(Section):
    """Messages about what happens. Their address is a secret, so it is no setting."""

    block: str = Field("", pattern=r"^([\w-]+/[\w-]+)?$")
    """``TYPE/NAME`` of a Prefect block, as in ``slack-webhook/team`` or ``webhook/team``; empty:
    the address in the variable FALCON_WEBHOOK, if there is one."""
    events: tuple[Event, ...] = ("promotion", "refusal", "failure", "approval")


class TrackingSettings(Section):
    """MLflow. Empty: SQLite and a folder under ``state/``."""

    uri: str = ""
    experiment: str = "falcon"
    registered_model: str = "falcon-codegen"
