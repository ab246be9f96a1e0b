"""Two commands in one clone: the second says so at once, and the first is not harmed."""

from __future__ import annotations

import pytest

from tests.ops.clone import DVC, FALCON, Clone, Moment

IN_SEED = Moment("-m tasks seed", event="os.rename", text="outputs/seed/")
BUSY = "one line at once that names the other; the first ends as if alone"


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((*FALCON, "run"), id="run", marks=pytest.mark.row(
            "run", "while another is in a stage", "a second `falcon run`", BUSY)),
        pytest.param((*FALCON, "stage", "gate"), id="stage", marks=[
            pytest.mark.nightly,
            pytest.mark.row("stage", "while a run is in another stage", "`falcon stage gate`",
                            BUSY)]),
    ],
)  # fmt: skip
def test_a_second_command_in_one_clone(
    clone: Clone, prefect_url: str, second: tuple[str, ...]
) -> None:
    before = clone.facts()
    clone.forget("seed")
    extra = {"PREFECT_API_URL": prefect_url}
    first = clone.start(*FALCON, "run", at=IN_SEED, **extra).reached()
    done = clone.sh(*second, **extra)
    done.refused("is at work here")
    first.go()
    first.end().ok()
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "run", "while it is in a stage", "a second `dvc repro`",
    "DVC says that it is locked; the first ends as if alone",
)  # fmt: skip
def test_dvc_repro_beside_a_run(clone: Clone, prefect_url: str) -> None:
    before = clone.facts()
    clone.forget("seed")
    first = clone.start(*FALCON, "run", at=IN_SEED, PREFECT_API_URL=prefect_url).reached()
    done = clone.sh(*DVC, "repro")
    assert done.code != 0
    assert "lock" in done.all or "busy" in done.all
    first.go()
    first.end().ok()
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "stage", "while `dvc repro` is in a stage", "`falcon run` beside `dvc repro`",
    "one line; `dvc repro` ends as if alone; then the run finds all up to date",
)  # fmt: skip
def test_a_run_beside_dvc_repro(clone: Clone, prefect_url: str) -> None:
    before = clone.facts()
    clone.forget("seed")
    first = clone.start(*DVC, "repro", at=IN_SEED).reached()
    clone.falcon("run", PREFECT_API_URL=prefect_url).refused()
    first.go()
    first.end().ok()
    done = clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    assert done.how("gate") == "unchanged"
    clone.whole(before)
