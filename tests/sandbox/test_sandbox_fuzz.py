"""Whatever a program writes on its channel, a wrong one does not pass and nothing breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cases import ADD
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from limits import small

from falcon.sandbox import Outcome, Program, Sandbox
from falcon.sandbox.worker.child_handle import MAX_FRAME
from falcon.suite import CodeSuite, Suite

RIGHT = "def add(a, b, f=int):\n    return f(a + b) if f is not len else int('')"
GIVING = CodeSuite(
    asserts=(
        "assert add(1, 2, lambda x: x) == 3",
        "try:\n    add(5, 7, len)\nexcept ValueError:\n    pass\nelse:\n    assert False",
    )
)
ORACLE = CodeSuite(
    entry_point="add",
    check="def check(c):\n    for a, b in ((1, 2), (5, 7)):\n        assert c(a, b) == a + b\n",
)
NONCES = st.one_of(st.just(bytes(8)), st.binary(min_size=8, max_size=8))
VALUES = st.sampled_from([b"3", b"12", b"0", b'{"t":"int","v":"3"}', b"[", b"nan", b'"\xff"'])
ASKED = st.builds(
    lambda operation, text: json.dumps([operation, text]).encode(),
    st.sampled_from(["getattr", "special", "call", "setattr", "await", "state", "", "no"]),
    st.sampled_from(
        [
            '[{"t":"home","v":0},"__call__",{"t":"dict","v":[]}]',
            '[{"t":"home","v":0},"__globals__",{"t":"dict","v":[]}]',
            '[{"t":"home","v":-1},{"t":"dict","v":[]}]',
            '[{"t":"live","v":[0,"A","__call__",null]},{"t":"dict","v":[]}]',
            '[{"t":"known","v":["os","system"]},"ls",{"t":"dict","v":[]}]',
            "[]",
            "[" * 5000,
        ]
    ),
)
BODIES = st.one_of(
    st.binary(max_size=40), ASKED, VALUES.map(lambda value: len(value).to_bytes(4, "big") + value)
)
FRAMES = st.builds(
    lambda kind, nonce, body: (len(kind + nonce + body)).to_bytes(4, "big") + kind + nonce + body,
    st.sampled_from([bytes([c]) for c in b"HLDVEUOTCZ\0\xff"]),
    NONCES,
    BODIES,
)
SIZES = st.integers(0, 2**32 - 1).map(lambda size: size.to_bytes(4, "big"))
NOISE = st.lists(
    st.one_of(FRAMES, st.binary(max_size=60), SIZES, st.just(MAX_FRAME.to_bytes(4, "big"))),
    min_size=1,
    max_size=5,
).map(b"".join)
WHERE = {
    "loading": "import os\nos.write(60, {noise!r})\ndef add(a, b, f=0):\n    return -99",
    "in a call": "import os\ndef add(a, b, f=0):\n    os.write(60, {noise!r})\n    return -99",
    "and exits": "import os\ndef add(a, b, f=0):\n    os.write(60, {noise!r})\n    os._exit(0)",
    "and crashes": "import os\ndef add(a, b, f=0):\n    os.write(60, {noise!r})\n    os.abort()",
}


CASES = st.lists(
    st.tuples(
        NOISE, st.sampled_from(sorted(WHERE)), st.sampled_from([ADD, ORACLE, GIVING]), st.booleans()
    ),
    min_size=32,
    max_size=32,
)


@pytest.fixture(scope="module")
def wide() -> Iterator[Sandbox]:
    """Many slots: half a frame makes us wait for the rest until the limit, side by side."""
    with Sandbox(small(workers=16, cpu_seconds=0.3)) as running:
        yield running


@given(cases=CASES)
@FUZZ
def test_noise_on_the_channel_gains_nothing_and_breaks_nothing(
    wide: Sandbox, cases: list[tuple[bytes, str, Suite, bool]]
) -> None:
    programs = [
        Program(WHERE[where].format(noise=noise), suite, trace=traced)
        for noise, where, suite, traced in cases
    ]
    for case, told in zip(cases, wide.judge_all(programs), strict=True):
        assert told.outcome not in (Outcome.PASS, Outcome.SANDBOX_ERROR), (case, told)
        assert not any(test.outcome is Outcome.PASS for test in told.cases[1:]), (case, told)
    after = wide.judge_all(
        [Program(RIGHT, suite) for suite in (ADD, ORACLE, GIVING) for _ in range(4)]
    )
    assert all(verdict.passed for verdict in after)
