"""The form of prompts: chosen by setting, recorded with every score, kept when scored again."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from falcon.config import Settings
from falcon.errors import UserError
from falcon.evaluation import BenchmarkFolders, run_benchmark
from falcon.evaluation.plan import load_benchmarks, make_plan
from falcon.evaluation.rescore import rescore
from falcon.monitor import SilentMonitor
from falcon.policy.backbone import load_tokenizer
from tests.evaluation.conftest import settings_for
from tests.models import tiny_causal


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a chat template."""
    return tiny_causal(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def mbpp(tmp_path: Path) -> Path:
    rows = [
        {
            "text": f"Add {n}.",
            "code": f"def add(x):\n    return x + {n}",
            "task_id": n,
            "test_list": [f"assert add(1) == {n + 1}"],
        }
        for n in (2, 3, 4, 11, 12)
    ]
    file = tmp_path / "mbpp.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def _settings(model: Path, prompt: str, source: str, tokens: int = 900) -> Settings:
    tree = settings_for(model, names=[source], max_new_tokens=10).model_dump()
    tree["policy"] |= {"prompt": prompt, "max_prompt_tokens": tokens}
    return Settings.model_validate(tree)


def _run(settings: Settings, data_dir: Path, out: Path) -> dict:
    result = run_benchmark(
        settings,
        folders=BenchmarkFolders(data_dir, out, out.parent / "work"),
        memory=None,
        policies={"base": None},
        monitor=SilentMonitor(),
    )
    return result.scores


@pytest.mark.parametrize(
    ("prompt", "version"),
    [("auto", "completion-1"), ("few-shot", "few-shot-1"), ("apps", "apps-1")],
)
def test_the_version_is_with_every_score_and_stays_when_scored_again(
    plain: Path, mbpp: Path, tmp_path: Path, prompt: str, version: str
) -> None:
    settings, out = _settings(plain, prompt, f"mbpp:{mbpp}"), tmp_path / "out"
    scores = _run(settings, tmp_path, out)
    assert scores["prompt_version"] == version
    frame = pd.read_parquet(out / "samples.parquet")
    assert set(frame["prompt_version"]) == {version}
    assert sorted(frame["problem_id"]) == ["mbpp/11", "mbpp/12"]
    assert version in (out / "report.html").read_text()
    # What such a model would have written: where the program ends depends on the form.
    ends = {"auto": "\nassert add(1)", "few-shot": "\n[DONE]\nYou are", "apps": ""}
    for number in (11, 12):
        written = f"def add(x):\n    return x + {number}{ends[prompt]}"
        frame.loc[frame["problem_id"] == f"mbpp/{number}", "completion"] = written
    frame.to_parquet(out / "samples.parquet", index=False)
    other = settings.model_copy(
        update={"policy": settings.policy.model_copy(update={"prompt": "auto"})}
    )
    again = rescore(other, data_dir=tmp_path, memory=None, out=out, monitor=SilentMonitor())
    assert again.scores["prompt_version"] == version
    assert again.scores["policies"]["base"]["suites"]["mbpp"]["pass@1"]["value"] == 1.0


def test_samples_of_an_unknown_prompt_are_refused(plain: Path, mbpp: Path, tmp_path: Path) -> None:
    settings, out = _settings(plain, "auto", f"mbpp:{mbpp}"), tmp_path / "out"
    _run(settings, tmp_path, out)
    frame = pd.read_parquet(out / "samples.parquet")
    for versions, said in ((["old-1"] * 2, "prompt `old-1`"), (["old-1", "apps-1"], "several")):
        frame.assign(prompt_version=versions).to_parquet(out / "samples.parquet", index=False)
        with pytest.raises(UserError, match=said):
            rescore(settings, data_dir=tmp_path, memory=None, out=out, monitor=SilentMonitor())


def test_few_shot_shows_tasks_2_3_and_4_of_the_file(
    plain: Path, mbpp: Path, tmp_path: Path
) -> None:
    benchmarks = load_benchmarks(_settings(plain, "few-shot", f"mbpp:{mbpp}"), tmp_path)
    (first, _) = benchmarks.problems["mbpp"]
    text = benchmarks.form.text(load_tokenizer(str(plain)), first)
    assert [n for n in range(13) if f"    return x + {n}\n[DONE]" in text] == [2, 3, 4]
    assert text.count("[BEGIN]") == 4
    with pytest.raises(UserError, match="no benchmark holds tasks 2, 3 and 4"):
        load_benchmarks(_settings(plain, "few-shot", "humaneval"), tmp_path)
    short = _settings(plain, "few-shot", f"mbpp:{mbpp}", tokens=60)
    with pytest.raises(UserError, match=r"no problem of mbpp:.* fits"):  # its examples count too
        load_benchmarks(short, tmp_path)


def test_samples_of_one_prompt_are_not_taken_for_another(
    plain: Path, mbpp: Path, tmp_path: Path
) -> None:
    keys = set()
    for prompt in ("auto", "few-shot", "apps"):
        settings = _settings(plain, prompt, f"mbpp:{mbpp}")
        keys |= {c.key for c in make_plan(settings, load_benchmarks(settings, tmp_path), {"base": ""}, None)}  # fmt: skip
    mbpp.write_text(mbpp.read_text().replace('"Add 3."', '"Add three."'))
    settings = _settings(plain, "few-shot", f"mbpp:{mbpp}")
    keys |= {c.key for c in make_plan(settings, load_benchmarks(settings, tmp_path), {"base": ""}, None)}  # fmt: skip
    assert len(keys) == 8


def test_the_command_line_goes_before_the_settings(tmp_path: Path, plain: Path) -> None:
    settings = _settings(plain, "apps", "humaneval")
    assert settings.changed({"policy.prompt": "completion"}).policy.prompt == "completion"
    with pytest.raises(UserError, match=r"`policy.prompt`: Input should be 'auto'"):
        settings.changed({"policy.prompt": "raw"})
    policy = settings.policy.model_copy(update={"prompt": "raw"})
    odd = settings.model_copy(update={"policy": policy})
    with pytest.raises(UserError, match="no prompt `raw`"):
        load_benchmarks(odd, tmp_path)
