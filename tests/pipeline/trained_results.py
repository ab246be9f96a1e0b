"""Results of a trained policy laid out by hand, and the gate's decision about them."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import yaml
from pipeline_workspace import write_before
from safetensors.numpy import save_file

from tasks import gate
from tasks.support.files import path_md5, write_json
from tasks.support.model_version import ModelVersion
from tasks.support.provenance import provenance, read_gate, write_marker, write_start
from tasks.support.registry import Registry
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace


def interval(value: float, half: float = 0.05, name: str = "value") -> dict[str, float]:
    return {name: value, "low": value - half, "high": value + half}


def scores(gain: float = 0.2, *, opponent: str = "base", style: float = 0.0) -> dict[str, Any]:
    """Scores of a trained policy that is ``gain`` better, as the benchmark stage writes them."""
    score = {
        "problems": 20,
        "pass@1": interval(0.3),
        "reward": interval(0.1, name="mean"),
        "style": interval(0.5, name="mean"),
        "complexity": interval(0.5, name="mean"),
        "verdicts": {"pass": 0.3, "failure": 0.7, "runtime": 0.0, "syntax": 0.0},
        "truncated": 0.125,
    }
    difference = {
        "pass_rate": interval(gain, name="difference"),
        "reward": interval(gain, name="difference"),
        "style": interval(style, name="difference"),
        "complexity": interval(0.0, name="difference"),
    }
    return {
        "policies": {p: {"suites": {"builtin": score}} for p in {"base", "trained", opponent}},
        "comparisons": {f"trained-{opponent}": {"builtin": difference, "pooled": difference}},
    }


def lay_out(space: Workspace, seed: int, figures: dict[str, Any]) -> None:
    """Results of five stages, a dvc.lock that names them, and records of the runs."""
    lay_out_files(space, seed, figures)
    found = provenance(space.root, space.settings())
    run = Tracker(space.settings(), space).create_run("train", found)
    for stage in gate.JUDGED:
        write_start(space, stage, run.id, found)
        write_marker(space, stage, run.id, {"stage": 1.0}, {})


def lay_out_files(space: Workspace, seed: int, figures: dict[str, Any]) -> None:
    """Results of five stages and a dvc.lock that names them."""
    policy = space.output("train") / "policy"
    shutil.rmtree(space.root / "outputs", ignore_errors=True)
    policy.mkdir(parents=True)
    weights = np.random.default_rng(seed).normal(size=(2, 2)).astype(np.float32)
    save_file({"lora": weights}, policy / "adapter_model.safetensors")
    write_json(policy / "adapter_config.json", {"r": 2})
    (space.output("train") / "memory").mkdir()
    (space.output("train") / "memory" / "segment-000001.jsonl").write_text("")
    report = {"passed": True, "evaluated": 3, "failures": [], "warnings": []}
    stages = {}
    for stage in gate.JUDGED:
        write_json(space.output(stage) / "checks.json", report)
        metrics = {"fault_rate": 0.0, "trained/fault_rate": 0.0, "trained/tamper_rate": 0.0}
        write_json(space.output(stage) / "metrics.json", metrics)
        if stage == "benchmark":
            write_json(space.output(stage) / "scores.json", figures)
        paths = sorted(p for p in space.output(stage).iterdir())
        outs = [{"path": str(p.relative_to(space.root)), "md5": path_md5(p)} for p in paths]
        stages[stage] = {"cmd": f"python -m tasks {stage}", "outs": outs}
    (space.root / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))


def trained(space: Workspace, seed: int, opponent: str = "base", start: str = "") -> ModelVersion:
    """A model that the gate passed, registered; ``opponent``: base or champion; ``start``: the
    version that it was trained from."""
    registry = Registry.here()
    lay_out(space, seed, scores(opponent=opponent))
    registry.fetch_champion()
    assert decide(space)["decision"] == "passed"
    write_json(space.output("train") / "lineage.json", {"start": {"version": start}})
    return registry.register()


def decide(space: Workspace) -> dict[str, Any]:
    """Run the gate stage for real, and enter it into dvc.lock."""
    from tasks.support.stage import run_stage

    write_before(space)
    run_stage("gate")
    lock = yaml.safe_load((space.root / "dvc.lock").read_text())
    file = space.output("gate") / "gate.json"
    out = {"path": "outputs/gate/gate.json", "md5": path_md5(file)}
    lock["stages"]["gate"] = {"outs": [out]}
    (space.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    return read_gate(space)
