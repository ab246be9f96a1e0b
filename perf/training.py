"""One step of training beside the ways it is done elsewhere, in one run.

`tasks`: a meta-step of MRLF on 8 tasks (programs, inner step, programs under the adapted weights,
outer step) with all tasks at once, against the same step task after task, as code in the manner
of learn2learn does it. Same weights, random streams and tokens; the gradients must agree.

`trl`: plain policy gradient (order 0) on 8 prompts x 4 samples against TRL's GRPOTrainer with the
same model, prompts, samples, tokens and adapters, no reference model on either side. On a processor
TRL's 32 rows are four micro-batches of 8, since at once they need more than 24 GB. TRL is no
dependency: without it (`pip install trl`) this part says so.

Every sample has its full number of tokens. Rewards come from a table and programs are not run: only
the model's work is timed. Gradients are compared in float32: in bfloat16 the rounding of a row
depends on the rows beside it, so that other tokens are drawn. Rounds alternate; medians. Quote the
ratios.
Run: ``python -m perf.training [tasks|trl] [rounds]``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from falcon.config import Settings
from falcon.generation.completion import Completion, Draws, Sampling, Weights
from falcon.generation.local import LocalGenerator
from falcon.policy.backbone import resolve_source
from falcon.policy.policy import Policy
from falcon.problems import load_sources
from falcon.training.batches.items import LOSSES, Item, Sample, items_of
from falcon.training.inner_loop import adapt, outer_gradient

TASKS, SAMPLES, EVALUATIONS, TOKENS = 8, 4, 2, 64
TEMPERATURE, TOP_P, RATE = 0.7, 0.95, 1e-4
ROOT = Path(__file__).resolve().parents[1]


def prepared(
    dtype: Literal["auto", "float32"] = "auto",
) -> tuple[Settings, Policy, list[tuple[int, ...]]]:
    """Settings, the embedded policy, and the prompts of 8 problems spread over our own."""
    settings = Settings.model_validate(
        {
            "policy": {"dtype": dtype},
            "sampling": {"temperature": TEMPERATURE, "top_p": TOP_P, "max_new_tokens": TOKENS},
        }
    )
    policy = Policy.load(settings.policy)
    policy.end_ids = frozenset()  # no sample ends early
    problems = load_sources(settings.data, ROOT / "data")
    chosen = problems[:: len(problems) // TASKS][:TASKS]
    return settings, policy, [policy.prompts.encode(p) for p in chosen]


def rewarded(prompt: tuple[int, ...], completions: Sequence[Completion]) -> list[Sample]:
    """Every second sample is good, the others are bad."""
    samples = []
    for number, completion in enumerate(completions):
        rows = torch.zeros(len(LOSSES), len(completion.drawn))  # [losses, tokens]
        rows[1] = 1.0 if number % 2 else -1.0
        samples.append(Sample(prompt, completion.drawn, rows))
    return samples


def sampling(rows: int) -> Sampling:
    """The same on both sides, ``rows`` at once."""
    return Sampling(TEMPERATURE, TOP_P, TOKENS, rows)


def meta_step(
    settings: Settings, policy: Policy, prompts: Sequence[tuple[int, ...]], size: int
) -> list[torch.Tensor]:
    """The gradient of a meta-step, ``size`` tasks at once."""
    for parameter in policy.bank.parameters():
        parameter.grad = None
    for first in range(0, len(prompts), size):
        tasks = range(first, min(first + size, len(prompts)))
        batch = [prompts[task] for task in tasks]
        drawn = sampling(TASKS * SAMPLES)
        made = LocalGenerator(policy).generate(batch, Draws(drawn, SAMPLES, 1, streams=tasks))
        half = SAMPLES // 2
        inner: list[Item] = []
        for number, (prompt, group) in enumerate(zip(batch, made, strict=True)):
            inner += items_of(number, rewarded(prompt, group[:half]))
        fast, _ = adapt(policy, inner, len(tasks), settings)
        draws = Draws(drawn, EVALUATIONS, 2, streams=tasks)
        after = LocalGenerator(policy).generate(batch, draws, weights=Weights(fast))
        outer: list[Item] = []
        for number, prompt in enumerate(batch):
            outer += items_of(number, rewarded(prompt, [*made[number][half:], *after[number]]))
        outer_gradient(policy, outer, fast, settings)
    return [p.grad.clone() for p in policy.bank.parameters() if p.grad is not None]


def policy_gradient_step(
    settings: Settings,
    policy: Policy,
    prompts: Sequence[tuple[int, ...]],
    optimizer: torch.optim.Optimizer,
    seed: int,
) -> None:
    """A whole step of order 0: programs, gradient, update."""
    made = LocalGenerator(policy).generate(prompts, Draws(sampling(TASKS * SAMPLES), SAMPLES, seed))
    items: list[Item] = []
    for task, (prompt, group) in enumerate(zip(prompts, made, strict=True)):
        items += items_of(task, rewarded(prompt, group))
    optimizer.zero_grad(set_to_none=True)
    outer_gradient(policy, items, None, settings)
    torch.nn.utils.clip_grad_norm_(list(policy.bank.parameters()), 1.0)
    optimizer.step()


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call, the device's work included."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def tasks_at_once(rounds: int) -> None:
    """All tasks of a meta-step at once, beside one after the other."""
    gradients = [meta_step(*prepared("float32"), size) for size in (TASKS, 1)]
    squared = sum(float((a - b).square().sum()) for a, b in zip(*gradients, strict=True))
    total = sum(float(b.square().sum()) for b in gradients[1])
    print(f"gradients in float32 differ by {(squared / total) ** 0.5:.1e} of their norm")
    settings, policy, prompts = prepared()
    print(f"timed in {policy.compute_dtype}")
    rows = []
    for number in range(1, rounds + 1):
        together = timed(lambda: meta_step(settings, policy, prompts, TASKS))
        apart = timed(lambda: meta_step(settings, policy, prompts, 1))
        rows.append((together, apart, apart / together))
        print(f"round {number}: {together:7.2f} s at once, {apart:7.2f} s task after task")
    _median("a meta-step of 8 tasks", rows, "at once", "task after task")


def beside_trl(rounds: int) -> None:
    """A step of plain policy gradient beside TRL's GRPO trainer."""
    try:
        import trl
    except ImportError:
        print("TRL is not installed: pip install trl")
        return
    settings, policy, prompts = prepared()
    optimizer = torch.optim.AdamW(policy.bank.parameters(), lr=RATE)
    theirs = _grpo(policy, prompts, 2 * rounds + 1)
    policy_gradient_step(settings, policy, prompts, optimizer, 0)
    next(theirs)
    rows = []
    for number in range(1, rounds + 1):
        ours = statistics.mean(
            timed(lambda k=k: policy_gradient_step(settings, policy, prompts, optimizer, k))
            for k in (2 * number, 2 * number + 1)
        )
        other = statistics.mean(next(theirs) for _ in range(2))
        rows.append((ours, other, ours / other))
        print(f"round {number}: {ours:7.2f} s falcon, {other:7.2f} s TRL {trl.__version__}")
    _median("a step of 32 samples of 64 tokens", rows, "falcon", "TRL")


def _grpo(policy: Policy, prompts: Sequence[tuple[int, ...]], steps: int) -> Any:
    """Seconds of each step of TRL's trainer. The trainer runs in a thread and waits before each
    step until the next value is asked for, so that rounds can alternate."""
    import queue
    import threading

    from transformers import TrainerCallback

    requests: queue.Queue[bool] = queue.Queue()
    answers: queue.Queue[float | Exception] = queue.Queue()

    class Stepwise(TrainerCallback):  # type: ignore[misc]
        """Waits for a request before each step, and answers with its seconds."""

        began = 0.0

        def wait(self) -> None:
            requests.get()
            self.began = time.perf_counter()

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.wait()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            answers.put(time.perf_counter() - self.began)
            self.wait()

    trainer = _grpo_trainer(policy, prompts, steps, Stepwise())

    def train() -> None:
        try:
            trainer.train()
        except Exception as error:  # noqa: BLE001 - raised again where the step is waited for
            answers.put(error)

    threading.Thread(target=train, daemon=True).start()
    for _ in range(steps):
        requests.put(True)
        answer = answers.get()
        if isinstance(answer, Exception):
            raise answer
        yield answer


def _grpo_trainer(
    policy: Policy, prompts: Sequence[tuple[int, ...]], steps: int, callback: Any
) -> Any:
    """TRL's trainer with our model, prompts, sampling and adapter, and nothing beside the step."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    cuda = torch.cuda.is_available()
    parts = 1 if cuda else 4  # micro-batches: see above
    model = AutoModelForCausalLM.from_pretrained(
        resolve_source("smollm2-135m-instruct"), dtype=policy.compute_dtype, use_safetensors=True
    )
    tokenizer = policy.tokenizer
    texts = [tokenizer.decode(list(ids)) for ids in prompts]
    arguments = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=TASKS * SAMPLES // parts,
        gradient_accumulation_steps=parts,
        num_generations=SAMPLES,
        max_completion_length=TOKENS,
        generation_kwargs={"min_new_tokens": TOKENS},
        temperature=TEMPERATURE,
        top_p=TOP_P,
        beta=0.0,  # no reference model
        num_iterations=1,
        learning_rate=RATE,
        max_steps=steps,
        max_grad_norm=1.0,
        use_cpu=not cuda,
        bf16=False,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    adapter = LoraConfig(
        r=policy.bank.rank, lora_alpha=policy.bank.alpha, target_modules=list(policy.bank.names)
    )
    return GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [float(n % 2) for n in range(len(completions))],
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": text} for text in texts]),
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[callback],
    )


def _median(what: str, rows: Sequence[tuple[float, float, float]], a: str, b: str) -> None:
    first, second, ratio = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{what}: {first:.2f} s {a}, {second:.2f} s {b}; ratio {ratio:.2f}")


def main(arguments: Sequence[str]) -> None:
    """Both parts, or the named one."""
    parts = {"tasks": tasks_at_once, "trl": beside_trl}
    chosen = [name for name in arguments if name in parts] or list(parts)
    numbers = [int(word) for word in arguments if word.isdigit()]
    threads = torch.get_num_threads()
    print(f"{'cuda' if torch.cuda.is_available() else 'cpu'}, {threads} threads")
    for name in chosen:
        parts[name](numbers[0] if numbers else 3)


if __name__ == "__main__":
    main(sys.argv[1:])
