"""The memory check: what memory a training takes, and that it leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from falcon.policy.policy import Policy
from falcon.training.run.device_memory import MIB, DeviceMemory
from falcon.training.run.memory_check import check_memory, measure_likely_step
from tests.models import load_tiny
from tests.training.setups import make_settings

ROOT = Path(__file__).resolve().parents[2]
TASKS = 3
TOO_LITTLE = """
import resource, sys
from pathlib import Path
from falcon.errors import UserError
from falcon.training.run.memory_check import check_memory
from tests.models import load_tiny
from tests.training.setups import make_settings

policy = load_tiny(Path(sys.argv[1]))
settings = make_settings(
    Path(sys.argv[1]),
    sampling={"max_new_tokens": 400},
    train={"micro_batch_tokens": 200_000, "meta": {"samples": 64}},
)
used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), used + (256 << 20)))
try:
    check_memory(settings, policy, [(5, 6, 7)], 3)
except UserError as fault:
    print(fault.message)
"""


def checked(policy: Policy, model: Path, **changes: Any) -> DeviceMemory:
    return check_memory(
        make_settings(model, **changes), policy, [(5, 6, 7), (5, 6, 7, 8) * 20], TASKS
    )


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_no_weight_moves_and_no_random_number_is_drawn(
    tiny: dict[str, Path], kind: str, order: int
) -> None:
    policy = load_tiny(tiny[kind], second_order=order == 2)
    before = [p.detach().clone() for p in policy.bank.parameters()]
    state = torch.get_rng_state()
    memory = checked(policy, tiny[kind], train={"meta": {"order": order}})
    assert memory.device == "cpu"
    assert memory.peak >= memory.update > 0
    assert all(p.grad is None for p in policy.bank.parameters())
    for now, then in zip(policy.bank.parameters(), before, strict=True):
        assert torch.equal(now, then)
    assert torch.equal(torch.get_rng_state(), state)


def test_larger_batches_take_more(tiny: dict[str, Path]) -> None:
    policy = load_tiny(tiny["causal"])
    long = {"max_new_tokens": 200}
    many = {"meta": {"samples": 32}}
    small = checked(
        policy, tiny["causal"], sampling=long, train={"micro_batch_tokens": 512, **many}
    )
    large = checked(
        policy, tiny["causal"], sampling=long, train={"micro_batch_tokens": 16_384, **many}
    )
    assert large.update > small.update + 16 * MIB


def test_too_little_memory_is_one_line_before_anything_begins(tiny: dict[str, Path]) -> None:
    process = subprocess.run(
        [sys.executable, "-c", TOO_LITTLE, str(tiny["causal"])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "largest batch does not fit into the memory of the device (cpu)" in process.stdout, (
        process.stdout + process.stderr[-3000:]
    )


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_the_likely_step_grows_with_the_programs_and_leaves_nothing_behind(
    tiny: dict[str, Path], kind: str, order: int
) -> None:
    policy = load_tiny(tiny[kind])
    before = [p.detach().clone() for p in policy.bank.parameters()]
    state = torch.get_rng_state()

    def likely(length: int) -> int:
        meta = {"order": order, "samples": 32, "evaluation_samples": 2}
        settings = make_settings(
            tiny[kind],
            sampling={"max_new_tokens": length, "batch_size": 128},
            train={"micro_batch_tokens": 16_384, "meta": meta},
        )
        return measure_likely_step(settings, policy, [(5, 6, 7), (5, 6, 7, 8) * 20], TASKS)

    policy.end_ids = frozenset()  # so that programs are as long as they may get
    assert likely(200) > likely(8) + 16 * MIB
    assert all(p.grad is None for p in policy.bank.parameters())
    for now, then in zip(policy.bank.parameters(), before, strict=True):
        assert torch.equal(now, then)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_likely_memory_stands_beside_the_most() -> None:
    text = str(DeviceMemory("cpu", 1 * MIB, 2 * MIB, 5 * MIB, likely=4 * MIB))
    assert text.endswith("about 4 MiB with programs as they are now, at most 5 MiB of cpu")
    assert "about" not in str(DeviceMemory("cpu", 1 * MIB, 2 * MIB, 5 * MIB))


def test_recall_makes_prompts_longer_only_where_it_enters_them(tiny: dict[str, Path]) -> None:
    from falcon.training.run.memory_check import _with_recall

    def length(**memory: object) -> int:
        return len(_with_recall(make_settings(tiny["causal"], memory=memory), (5, 6, 7)))

    assert length() == 303
    assert length(into="weights") == length(at="eval") == length(top_k=0) == 3
