"""Judges one program by one suite: the trusted half, in the slot's worker.

Compiles, starts children, compares what they return. A child that dies is replaced, so
that one crash does not decide the other tests; after a timeout the rest count as timeouts.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import apps, codec, compiler, evalplus, literal, session
from . import child as inner
from .childproc import Child, Limits
from .compare import same_text, same_value
from .helpers import Fault, Helper, Server
from .known import Known

Case = dict[str, Any]
MAX_SOURCE = 1 << 20
MAX_RESPAWNS = 64
COMPILE_SECONDS = 2.0
_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def clean_error(raw: Any, lines: int) -> dict[str, Any]:
    """What the untrusted side said of an error: bounded, escaped, its line within the source."""
    raw = raw if isinstance(raw, dict) else {}
    kind, line, message = raw.get("type"), raw.get("line"), raw.get("message")
    known = isinstance(kind, str) and _TYPE.fullmatch(kind)
    inside = type(line) is int and 0 < line <= lines
    text = message if isinstance(message, str) else ""
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text[:200]
    )
    return {
        "type": kind if known else "Exception",
        "line": line if inside else 0,
        "message": text[:200],
    }


@dataclass(frozen=True)
class Question:
    """One call of the program as it is sent, and what settles its case once a value came back."""

    request: bytes
    settle: Callable[[Any], Case]


def _judged(test: literal.Test, got: Any) -> Case:
    try:
        return {"outcome": "pass" if test.holds(got) else "wrong_answer"}
    except Exception as fault:  # noqa: BLE001  the comparison failed on what the program returned
        note = {"type": type(fault).__name__, "message": f"in the test: {fault}"[:300]}
        return {"outcome": "wrong_answer", "error": note}


class Judge:
    """The judgement of one program. ``helper(name)`` gives the slot's running helpers."""

    def __init__(
        self,
        helper: Callable[[str], Any],
        limits: Limits,
        source: str,
        *,
        traced: bool = False,
        compiled: bytes = b"",
        known: Known | None = None,
    ) -> None:
        self.helper, self.limits, self.source, self.traced = helper, limits, source, traced
        self.ran: set[int] = set()
        self.compiled = compiled
        self.known = known or Known()
        # As the compiler counts them: a line ends with \n, \r\n or \r.
        self.lines = source.count("\n") + source.count("\r") - source.count("\r\n") + 1
        self.cpu = 0.0
        self.respawns = 0
        self.code, self.zygote, self.prelude = b"", "slim", b""

    def run(self, suite: dict[str, Any]) -> tuple[list[Case], Case | None]:
        """Cases of the suite, or none and the syntax error that precedes them all."""
        failure = self._compile()
        if failure:
            return [], failure
        self._compile_prelude(suite.get("prelude", ""))
        if suite["kind"] == "call":
            return self._calls(suite), None
        if suite["kind"] == "stdin":
            return self._runs(suite), None
        return self._code(suite), None

    # Compiling

    def _compile(self) -> Case | None:
        if len(self.source) > MAX_SOURCE:
            return self._syntax({"type": "SyntaxError", "message": "more than 1 MiB of source"})
        if self.compiled:
            return self._read(self.compiled)
        for attempt in (1, 2):
            server: Server = self.helper("compiler")
            server.begin()
            try:
                server.send(self.source.encode("utf-8", "surrogatepass"))
                answer = server.receive(COMPILE_SECONDS)
            except Fault:
                self.helper("compiler:drop")
                if attempt == 2:
                    return self._syntax({"type": "SyntaxError", "message": "it ends the compiler"})
                continue
            except TimeoutError:
                self.helper("compiler:drop")
                return {"outcome": "timeout", "error": {"type": "CompileTimeout", "message": ""}}
            return self._read(answer)
        return None

    def _compile_prelude(self, text: str) -> None:
        """Have the suite's prelude ready to be sent. Raises Fault when it does not compile."""
        if not text:
            return
        before = self.code, self.zygote
        other = Judge(self.helper, self.limits, text)
        if other._compile():
            raise Fault("the prelude of the tests does not compile")
        self.prelude = other.code
        self.code, self.zygote = before[0], other.zygote if other.zygote == "numpy" else before[1]

    def _read(self, answer: bytes) -> Case | None:
        """Keep the code of a compiler's answer; or the syntax error it holds."""
        kind, self.code = answer[:1], answer[1:]
        if kind == compiler.FATAL:
            self.helper("compiler:drop")
        if kind in (compiler.BAD, compiler.FATAL):
            return self._syntax(json.loads(self.code))
        self.zygote = "numpy" if kind == compiler.NUMPY_CODE else "slim"
        return None

    def _syntax(self, error: Case) -> Case:
        return {"outcome": "syntax_error", "error": clean_error(error, self.lines)}

    # Children

    def child(self, feed: bytes | None = None, *, patient: bool = False) -> Child:
        zygote: Helper = self.helper(self.zygote)
        return Child(zygote, self.limits, self.cpu, feed, patient=patient)

    def end(self, running: Child) -> None:
        running.finish()
        self.cpu += running.cpu

    def _start(self, running: Child, *, whole: bool) -> bytes:
        """Send the program; the nonce of its first answer."""
        plain, traced = (
            (inner.WHOLE, inner.WHOLE_TRACED) if whole else (inner.MODULE, inner.MODULE_TRACED)
        )
        return running.start(self.code, traced if self.traced else plain, self.prelude)

    def next(self, running: Child) -> bytes | None:
        """The next answer; lines that are said to have run before it go into ``ran``."""
        frame = running.next_frame()
        while self.traced and frame is not None and frame[:1] == inner.TRACE:
            try:
                said = json.loads(frame[9:])
            except (ValueError, RecursionError):
                said = None
            if isinstance(said, list):
                self.ran |= {n for n in said if type(n) is int and 0 < n <= self.lines}
            frame = running.next_frame()
        return frame

    def _await_prelude(self, running: Child) -> None:
        """Let the suite's prelude run. Raises Fault when it fails: nothing of the program has
        run by then, so it is not to blame."""
        if not self.prelude:
            return
        frame = running.next_frame()
        if frame is None or frame[:1] != inner.PRELUDE_RAN:
            told = frame[9:400].decode("utf-8", "replace") if frame else str(running.ended)
            raise Fault(f"the prelude of the tests fails: {told}")

    def with_lines(self, case: Case, before: set[int]) -> Case:
        """The case with the lines that ran for it, loading included."""
        return {**case, "lines": sorted(before | self.ran)} if self.traced else case

    def _failure(self, frame: bytes | None, running: Child) -> Case:
        """The case that an answer other than a value, or an end without one, stands for."""
        if frame is None:
            outcome, error = running.ended or ("premature_exit", None)
            return {"outcome": outcome, "error": error and clean_error(error, self.lines)}
        kind, body = frame[:1], frame[9:]
        if kind == inner.ERROR:
            try:
                error = clean_error(json.loads(body[:8192]), self.lines)
            except (ValueError, RecursionError):
                return self._violation("garbled error")
            memory = error["type"] == "MemoryError"
            return {"outcome": "memory" if memory else "runtime_error", "error": error}
        note = {"type": "Result", "message": body[:200].decode("utf-8", "replace")}
        if kind == inner.UNSERIALISABLE:
            return {"outcome": "unserialisable_result", "error": clean_error(note, 0)}
        if kind == inner.TOO_LARGE:
            return {"outcome": "output_limit", "error": clean_error(note, 0)}
        return self._violation("unknown answer")

    @staticmethod
    def _violation(what: str) -> Case:
        return {"outcome": "protocol_violation", "error": {"type": "Protocol", "message": what}}

    def load(self) -> tuple[Child, Case | None]:
        """A child with the program loaded, or with the case its loading ended in."""
        running = self.child()
        nonce = self._start(running, whole=False)
        return running, self.loaded(running, nonce)

    def loaded(self, running: Child, nonce: bytes) -> Case | None:
        """None once the program is loaded, else the case its loading ended in."""
        self.ran = set()
        self._await_prelude(running)
        frame = self.next(running)
        if frame is not None and frame[1:9] != nonce:
            return self._violation("an answer to another question")
        if frame is None or frame[:1] != inner.LOADED:
            return self._failure(frame, running)
        running.begin_test()
        return None

    def refused(self, frame: bytes | None, running: Child, nonce: bytes) -> Case | None:
        """None for a frame that holds the value asked for, else the case it stands for."""
        if frame is not None and frame[1:9] != nonce:
            return self._violation("an answer to another question")
        if frame is None or frame[:1] != inner.VALUE:
            return self._failure(frame, running)
        return None

    # Calls that do not depend on one another

    def _calls(self, suite: dict[str, Any]) -> list[Case]:
        present = suite["rule"] == "evalplus:not-none"
        requests = self._requests(suite, inner.TRUTH if present else inner.VALUE_ONLY)
        if suite["reference"]:
            expected = self._expected(suite, inner.PRESENCE if present else inner.VALUE_ONLY)
        else:
            expected = [codec.decode(call["expected"], budget=False) for call in suite["calls"]]
        return self._ask(
            [
                Question(request, partial(self._compared, suite, call, value))
                for request, call, value in zip(requests, suite["calls"], expected, strict=True)
            ]
        )

    @staticmethod
    def _requests(suite: dict[str, Any], want: int) -> list[bytes]:
        none, name = codec.encode({}), suite["entry_point"]
        if suite["rule"] == "apps":
            name = f"Solution().{name}|{name}"
        return [inner.request(name, call["args"], none, want=want) for call in suite["calls"]]

    def _expected(self, suite: dict[str, Any], want: int) -> list[Any]:
        """What the suite's reference returns, remembered for the programs to come.

        The reference runs like any program, with more time. Raises Fault when it fails.
        """
        requests = self._requests(suite, want)
        text = "\0".join((suite["reference"], *map(repr, requests)))
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        found: list[Any] | None = self.known.expected.get(key)
        if found is not None:
            return found
        wide = Limits(4 * self.limits.cpu, 4 * self.limits.total, self.limits.output)
        judge = Judge(self.helper, wide, suite["reference"])
        if judge._compile():
            raise Fault("the reference of the tests does not compile")
        values: list[Any] = []

        def keep(value: Any) -> Case:
            values.append(value)
            return {"outcome": "pass"}

        cases = judge._ask([Question(request, keep) for request in requests])
        for number, case in enumerate(cases, start=1):
            if case["outcome"] != "pass":
                said = (case.get("error") or {}).get("type", "")
                raise Fault(
                    f"the reference of the tests ends in {case['outcome']} ({said}) on input {number}"
                )
        self.known.expected.put(key, values, 1)
        return values

    def _ask(self, questions: list[Question]) -> list[Case]:
        """A case for each question, all put to one child unless it dies."""
        cases: list[Case] = []
        while len(cases) < len(questions):
            left = questions[len(cases) :]
            running = self.child(patient=True)
            try:
                nonces = self.put(running, [question.request for question in left])
                broken = self.loaded(running, nonces[0])
                if broken:
                    # Loading fails alike every time: all tests that are left end so.
                    return cases + [self.with_lines(broken, set())] * len(left)
                stop = self._batch(running, nonces[1:], left, cases)
            finally:
                self.end(running)
            self.respawns += 1
            if stop or self.respawns > MAX_RESPAWNS:
                cases += [cases[-1]] * (len(questions) - len(cases))
        return cases

    def put(self, running: Child, requests: list[bytes]) -> list[bytes]:
        """Send the program and all requests at once; nonces of the answers, in order."""
        noise = secrets.token_bytes(8 * len(requests))
        nonces = [noise[i : i + 8] for i in range(0, len(noise), 8)]
        first = self._start(running, whole=False)
        for nonce, request in zip(nonces, requests, strict=True):
            running.send(nonce + request)
        running.send(b"")
        return [first, *nonces]

    def _batch(
        self, running: Child, nonces: list[bytes], questions: list[Question], cases: list[Case]
    ) -> bool:
        """Judge until the child is of no more use; True: do not start another."""
        loading = self.ran
        for nonce, question in zip(nonces, questions, strict=True):
            self.ran = set()
            frame = self.next(running)
            running.begin_test()
            case = self.refused(frame, running, nonce)
            if frame is not None and case is None:
                case = self._settled(question, frame[9:])
            assert case is not None
            cases.append(case if frame is None else self.with_lines(case, loading))
            if frame is None or case["outcome"] == "protocol_violation":
                return bool(case["outcome"] == "timeout")
        return False

    def _settled(self, question: Question, body: bytes) -> Case:
        size = int.from_bytes(body[:4], "big")
        try:
            got = codec.decode(body[4 : 4 + size])
        except codec.Malformed as fault:
            return self._violation(str(fault)[:100])
        return question.settle(got)

    @staticmethod
    def _compared(suite: dict[str, Any], call: dict[str, Any], expected: Any, got: Any) -> Case:
        try:
            if suite["rule"] == "value":
                right = same_value(expected, got, suite["atol"])
            elif suite["rule"] == "apps":
                right = apps.same_value(expected, got)
            else:
                arguments = codec.decode(call["args"], budget=False)
                right = evalplus.same(suite["rule"], expected, got, arguments, suite["atol"])
        except RecursionError:
            right = False
        return {"outcome": "pass" if right else "wrong_answer"}

    def _literal(self, tests: tuple[literal.Test, ...]) -> list[Case]:
        asked = [t for t in tests if t.calls]
        cases = iter(self._ask([Question(test.request, partial(_judged, test)) for test in asked]))
        return [next(cases) if t.calls else _judged(t, None) for t in tests]

    # Whole programs

    def _runs(self, suite: dict[str, Any]) -> list[Case]:
        cases: list[Case] = []
        for run in suite["runs"]:
            if cases and cases[-1]["outcome"] == "timeout":
                cases.append(cases[-1])
                continue
            running = self.child(run["stdin"].encode("utf-8", "surrogateescape"), patient=True)
            try:
                case = self._one_run(running, run["expected"], suite["rule"])
                cases.append(self.with_lines(case, set()) if self.ran else case)
            finally:
                self.end(running)
        return cases

    def _one_run(self, running: Child, expected: str, rule: str) -> Case:
        self.ran = set()
        nonce = self._start(running, whole=True)
        self._await_prelude(running)
        frame = self.next(running)
        failure: Case | None = None
        if frame is not None and frame[1:9] != nonce:
            failure = self._violation("an answer to another question")
            running.kill("protocol_violation")
        elif frame is not None and frame[:1] != inner.DONE:
            failure = self._failure(frame, running)
        while self.next(running) is not None:
            failure = self._violation("more than one ending")
        if failure:
            return failure
        ended = running.ended or ("premature_exit", None)
        output = bytes(running.pipes.output) if running.pipes else b""
        text = output.decode("utf-8", "replace")
        if rule == "lines":
            same = same_text(expected, text)
        else:
            same = apps.same_output(expected, text, unordered=rule == "apps:unordered")
        # Its exit status is worth nothing, so os._exit(0) after the right output is fine.
        if ended[0] == "premature_exit" and running.status == 0 and (same or frame is not None):
            return {"outcome": "pass" if same else "wrong_answer"}
        return {"outcome": ended[0], "error": ended[1] and clean_error(ended[1], self.lines)}

    # Test code

    def _code(self, suite: dict[str, Any]) -> list[Case]:
        tests = literal.tests_of(
            suite["check"], tuple(suite["asserts"]), suite["setup"], suite["entry_point"]
        )
        return self._literal(tests) if tests else session.by_oracle(self, suite)
