from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from falcon.config import Settings, TrainSettings
from falcon.errors import UserError
from falcon.evaluation import BenchmarkFolders, BenchmarkResult, run_benchmark
from falcon.evaluation.plan import benchmark_names, load_benchmarks
from falcon.feedback import Feedback
from falcon.memory import Experience, HashEncoder, LongTermMemory, Origin, TaskDetails
from falcon.monitor import Advance, SilentMonitor
from falcon.problems import Split
from falcon.problems.trained_on import TrainedOn
from falcon.prompts.forms import Chat
from falcon.sandbox.verdict import CaseResult, Outcome, Verdict
from tests.evaluation.conftest import RIGHT, make_problem, settings_for


class Interrupting(SilentMonitor):
    """Counts the stretches of generation and interrupts after some finished chunks."""

    def __init__(self, after: int = 10**9) -> None:
        super().__init__()
        self.generated = 0
        self.left = after

    @contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        self.generated += description == "generate"
        outer = description.startswith("benchmark")
        yield _Handle(self, counts=outer)


class _Handle:
    def __init__(self, monitor: Interrupting, *, counts: bool) -> None:
        self.monitor = monitor
        self.counts = counts

    def advance(self, n: int = 1, **rates: float) -> None:
        if self.counts:
            self.monitor.left -= 1
            if self.monitor.left <= 0:
                raise KeyboardInterrupt


def run(
    settings: Settings, data_dir: Path, out: Path, policies: dict[str, Path | None], **more: Any
) -> BenchmarkResult:
    arguments = {"memory": None, "monitor": SilentMonitor()} | more
    work = arguments.pop("work", out.parent / "work")
    folders = BenchmarkFolders(data_dir, out, work)
    return run_benchmark(settings, folders=folders, policies=policies, **arguments)


def rows(out: Path, policy: str) -> pd.DataFrame:
    frame = pd.read_parquet(out / "samples.parquet")
    mine = frame[frame["policy"] == policy]
    return mine.set_index("problem_id", drop=False)


def test_a_benchmark_scores_what_the_models_really_wrote(
    model: Path, broken: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run(settings_for(model), data_dir, out, {"base": None, "trained": broken})
    base, trained = rows(out, "base"), rows(out, "trained")
    assert base["outcome"].to_dict() == {"builtin/double": "pass", "builtin/triple": "wrong_answer"}
    assert base.loc["builtin/double", "program"].strip() == RIGHT
    assert base.loc["builtin/triple", ["n_pass", "n_fail"]].tolist() == [1, 2]
    assert set(base["prompt_version"]) == {Chat.version}
    assert (trained["outcome"] != "pass").all()
    assert (base["tokens"] > 5).all()

    scores = json.loads((out / "scores.json").read_text())
    assert scores == json.loads(json.dumps(result.scores))
    scored = scores["policies"]["base"]["suites"]["builtin"]
    assert scored["pass@1"]["value"] == 0.5
    assert scored["verdicts"] == {"pass": 0.5, "failure": 0.5, "runtime": 0.0, "syntax": 0.0}
    # Eq. 8: 1 for all tests, -0.3 + 1.3 / 3 for one of three.
    assert scored["reward"]["mean"] == pytest.approx((1 + -0.3 + 1.3 / 3) / 2, abs=1e-6)
    assert scored["by_difficulty"]["introductory"]["pass@1"]["value"] == 1.0
    assert scored["faults"] == 0
    pair = scores["comparisons"]["trained-base"]
    assert pair["pooled"]["pass_rate"]["difference"] == -0.5
    assert (pair["builtin"]["pass_rate"]["wins"], pair["builtin"]["pass_rate"]["losses"]) == (0, 1)
    assert scores["policies"]["base"]["adapter_digest"] == ""
    assert len(scores["policies"]["trained"]["adapter_digest"]) == 12
    assert result.metrics["builtin/base/pass@1"] == 0.5
    assert result.metrics["time/generate"] > 0
    assert "builtin/double" in (out / "report.html").read_text()


def test_an_interrupted_run_goes_on_and_ends_the_same(
    model: Path, broken: Path, data_dir: Path, tmp_path: Path
) -> None:
    settings = settings_for(model)
    policies: dict[str, Path | None] = {"base": None, "trained": broken}
    whole = Interrupting()
    run(settings, data_dir, tmp_path / "whole", policies, monitor=whole, work=tmp_path / "w1")
    assert whole.generated == 4
    assert not (tmp_path / "w1").exists()

    out, work = tmp_path / "out", tmp_path / "w2"
    first = Interrupting(after=3)
    with pytest.raises(KeyboardInterrupt):
        run(settings, data_dir, out, policies, monitor=first, work=work)
    assert not out.exists()
    assert len(list(work.glob("chunk-*.json"))) == 3
    (work / "mine.txt").write_text("not a chunk")

    second = Interrupting()
    run(settings, data_dir, out, policies, monitor=second, work=work)
    assert second.generated == 1
    for name in ("samples.parquet", "scores.json", "report.html"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert [p.name for p in work.iterdir()] == ["mine.txt"]


def test_chunks_of_other_settings_are_not_taken(
    model: Path, data_dir: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        run(settings_for(model), data_dir, tmp_path / "a", {"base": None}, monitor=Interrupting(2))
    again = Interrupting()
    changed = settings_for(model, max_new_tokens=61)
    run(changed, data_dir, tmp_path / "b", {"base": None}, monitor=again)
    assert again.generated == 2
    assert not work.exists()


def test_a_policy_in_service_that_is_the_trained_one_is_not_run_twice(
    model: Path, broken: Path, data_dir: Path, tmp_path: Path
) -> None:
    monitor = Interrupting()
    out = tmp_path / "out"
    policies: dict[str, Path | None] = {"base": None, "trained": broken, "champion": broken}
    result = run(settings_for(model), data_dir, out, policies, monitor=monitor)
    assert monitor.generated == 4
    a, b = rows(out, "trained"), rows(out, "champion")
    assert a.drop(columns="policy").equals(b.drop(columns="policy"))
    pooled = result.comparisons["trained-champion"]["pooled"]
    assert pooled["pass_rate"] == {
        "difference": 0.0, "low": 0.0, "high": 0.0, "wins": 0, "losses": 0, "p_mcnemar": 1.0,
    }  # fmt: skip


def lesson() -> Experience:
    """A reference of a training problem, as the memory is seeded with it."""
    known = make_problem("twice", 2, split="train")
    return Experience(
        problem_id=known.id,
        split=known.split,
        task=known.statement,
        asked=TaskDetails.of(known),
        program=known.solutions[0],
        verdict=Verdict(outcome=Outcome.PASS, cases=(CaseResult(outcome=Outcome.PASS),)),
        feedback=Feedback(),
        score=1.0,
        origin=Origin(stage="test"),
    )


@pytest.mark.parametrize("into", ["prompt", "weights"])
def test_memory_is_recalled_by_all_but_the_bare_model(
    model: Path, still: Path, data_dir: Path, tmp_path: Path, into: str
) -> None:
    policies: dict[str, Path | None] = {"base": None, "trained": still}
    settings = settings_for(model)
    settings = settings.model_copy(
        update={
            "memory": settings.memory.model_copy(update={"into": into}),
            "train": TrainSettings.model_validate({"meta": {"inner_lr": 20.0}}),
        }
    )
    plain = run(settings, data_dir, tmp_path / "plain", policies)
    with LongTermMemory.open(tmp_path / "memory", HashEncoder(), writable=True) as memory:
        memory.append([lesson()])
        recalled = run(settings, data_dir, tmp_path / "recalled", policies, memory=memory)
        digest = memory.digest()
    column = ["completion", "program", "outcome"]
    base = rows(tmp_path / "recalled", "base")[column]
    assert base.equals(rows(tmp_path / "plain", "base")[column])
    # An adapter that changes nothing writes what the bare model writes, until memory is recalled.
    assert rows(tmp_path / "plain", "trained")[column].equals(base)
    assert not rows(tmp_path / "recalled", "trained")[column].equals(base)
    told = {name: known["memory"] for name, known in recalled.scores["policies"].items()}
    assert told == {"base": False, "trained": True}
    assert recalled.scores["memory_digest"] == digest
    assert plain.scores["policies"]["trained"]["memory"] is False


def test_an_adapter_counts_with_its_own_rank_and_alpha(
    model: Path, data_dir: Path, tmp_path: Path, broken: Path
) -> None:
    """Equal weights with alpha 0 change nothing, with their own one everything."""
    nothing = Path(shutil.copytree(broken, tmp_path / "nothing"))
    file = nothing / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lora_alpha": 0}))
    settings = settings_for(model)
    other = {"lora_rank": 5, "lora_alpha": 1.0, "lora_targets": ("v_proj",)}
    settings = settings.model_copy(update={"policy": settings.policy.model_copy(update=other)})
    policies = {"base": None, "trained": broken, "nothing": nothing}
    run(settings, data_dir, tmp_path / "out", policies)
    base, trained, still = (rows(tmp_path / "out", name)["completion"] for name in policies)
    assert still.equals(base)
    assert not trained.equals(base)


def test_an_adapter_that_does_not_fit_is_refused_before_anything_is_written(
    model: Path, data_dir: Path, tmp_path: Path, broken: Path
) -> None:
    folder = Path(shutil.copytree(broken, tmp_path / "other"))
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"target_modules": ["q_proj"]}))
    with pytest.raises(UserError, match="target_modules leaves out"):
        run(settings_for(model), data_dir, tmp_path / "out", {"base": None, "trained": folder})
    assert not list((tmp_path / "out").rglob("*.json*"))


def test_several_samples_give_pass_at_k(model: Path, data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = settings_for(model, samples=3, temperature=1.5, top_p=1.0, batch_size=8)
    result = run(settings, data_dir, out, {"base": None})
    scored = result.scores["policies"]["base"]["suites"]["builtin"]
    assert {k for k in scored if k.startswith("pass@")} == {"pass@1", "pass@2"}
    assert scored["samples"] == 6
    frame = pd.read_parquet(out / "samples.parquet")
    assert frame["sample"].tolist() == [0, 1, 2] * 2
    assert frame["completion"].nunique() > 2  # drawn, not greedy


def test_limit_takes_problems_spread_over_the_benchmark(
    model: Path, data_dir: Path, tmp_path: Path
) -> None:
    many = [make_problem(f"f{i}", 2 + i % 2) for i in range(6)]
    text = "\n".join(json.dumps(p.model_dump(mode="json")) for p in many)
    (data_dir / "problems.jsonl").write_text(text + "\n")
    out = tmp_path / "out"
    run(settings_for(model, limit=3, max_new_tokens=8), data_dir, out, {"base": None})
    assert list(rows(out, "base")["problem_id"]) == ["builtin/f0", "builtin/f2", "builtin/f4"]


def test_samples_of_a_problem_do_not_depend_on_which_others_are_scored(
    model: Path, data_dir: Path, tmp_path: Path
) -> None:
    many = [make_problem(f"f{i}", 2 + i % 2) for i in range(6)]
    text = "\n".join(json.dumps(p.model_dump(mode="json")) for p in many)
    (data_dir / "problems.jsonl").write_text(text + "\n")
    settings = settings_for(model, samples=2, temperature=1.5, top_p=1.0, max_new_tokens=12)
    found = {}
    for limit, rows_at_once in ((0, 4), (3, 2)):
        out = tmp_path / f"out-{limit}"
        changes = {"benchmark.limit": limit, "benchmark.batch_size": rows_at_once}
        run(settings.changed(changes), data_dir, out, {"base": None})
        frame = rows(out, "base")
        keys = zip(frame["problem_id"], frame["sample"], strict=True)
        found[limit] = dict(zip(keys, frame["completion"], strict=True))
    assert len(found[3]) == 6
    assert found[3].items() <= found[0].items()
    assert len(set(found[0].values())) > 6


def test_difficulties_limit_what_is_scored(model: Path, data_dir: Path, tmp_path: Path) -> None:
    easy = settings_for(model, difficulties=["introductory"], max_new_tokens=8)
    run(easy, data_dir, tmp_path / "out", {"base": None})
    assert list(rows(tmp_path / "out", "base")["problem_id"]) == ["builtin/double"]
    with pytest.raises(UserError, match=r"builtin has none of hard") as fault:
        load_benchmarks(settings_for(model, difficulties=["hard"]), data_dir)
    assert "introductory" in fault.value.hint


def test_tasks_too_long_for_a_prompt_are_named(model: Path, data_dir: Path, tmp_path: Path) -> None:
    long = make_problem("long", 2).model_copy(update={"statement": "words " * 400})
    with (data_dir / "problems.jsonl").open("a") as file:
        file.write(json.dumps(long.model_dump(mode="json")) + "\n")
    result = run(settings_for(model), data_dir, tmp_path / "out", {"base": None})
    assert result.scores["left_out"] == {"builtin": ["builtin/long"]}
    assert "builtin/long" in (tmp_path / "out" / "report.html").read_text()


def test_problems_a_policy_was_trained_on_are_not_scored(
    model: Path, data_dir: Path, tmp_path: Path
) -> None:
    # Under another id, with other spacing: as the same problem of another set would come.
    learnt = make_problem("double", 2).model_copy(update={"id": "other/1", "split": Split.TRAIN})
    learnt = learnt.model_copy(update={"statement": learnt.statement.upper() + "  "})
    known = TrainedOn.of([learnt, make_problem("triple", 3)])  # that one is of the test split
    result = run(settings_for(model), data_dir, tmp_path / "out", {"base": None}, trained_on=known)
    assert result.scores["trained_on"] == {"builtin": ["builtin/double"]}
    assert list(rows(tmp_path / "out", "base")["problem_id"]) == ["builtin/triple"]
    assert "builtin/double" in (tmp_path / "out" / "report.html").read_text()
    every = TrainedOn(frozenset({"builtin/double", "builtin/triple"}))
    with pytest.raises(UserError, match="trained on every problem of builtin"):
        run(settings_for(model), data_dir, tmp_path / "none", {"base": None}, trained_on=every)


def test_an_absent_adapter_is_a_user_error_before_anything_is_run(
    model: Path, data_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="nothing: no adapter there"):
        run(settings_for(model), data_dir, tmp_path / "out", {"trained": tmp_path / "nothing"})
    assert not (tmp_path / "out").exists()


def test_benchmarks_have_short_and_different_names() -> None:
    assert benchmark_names(["humaneval", "mbpp:data/m.jsonl"]) == ["humaneval", "mbpp"]
    assert benchmark_names(["mbpp:a/x.jsonl", "mbpp:b/y.json"]) == ["mbpp-x", "mbpp-y"]
    assert benchmark_names(["jsonl:data/mine.jsonl", "jsonl:b.jsonl"]) == ["mine", "b"]
    assert benchmark_names(["builtin", "jsonl:builtin.jsonl"]) == ["builtin", "jsonl-builtin"]
