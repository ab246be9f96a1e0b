"""Python tests: a file of tests as a code suite, its tests as texts that run one after the other.

Tests are assert statements, functions and coroutines named ``test...``, unittest's classes,
pytest's classes and ``parametrize``, or HumanEval's ``check(candidate)``. As with pytest, what
stands at the top level runs first and the functions after it; a main guard runs last. A file is
parsed here and never run. No test of it is left out: what cannot be run is refused by its line.
"""

import ast
import copy
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from falcon.errors import UserError
from falcon.sandbox import python_syntax as syntax
from falcon.sandbox.python_imports import HINT, without_program
from falcon.sandbox.python_syntax import FUNCTIONS, Function, dotted, is_parametrize, required
from falcon.suite import CodeSuite

# Entry point of a ``check`` whose file does not say what it is given.
CANDIDATE = "candidate"
FORMS = (
    "Write assert statements or check(candidate) into a .py file, or a list of "
    '{"stdin": "...", "expected": "..."} into a .json file.'
)
_UNKNOWN = ("fixture", "skip", "skipif", "skipIf", "skipUnless", "xfail", "expectedFailure",
            "usefixtures")  # fmt: skip
# What pytest and unittest call around tests, and nothing calls here.
_HOOKS = ("setup_function", "pytest_generate_tests", "load_tests")
_MODULE_HOOKS = ("setUpModule", "setup_module")
_LAST_HOOKS = ("tearDownClass", "tearDownModule", "teardown_class", "teardown_method",
               "teardown_module", "teardown_function", "teardown")  # fmt: skip
_RUNNERS = ("unittest", "pytest", "nose")
_Texts = list[list[ast.stmt]]


def read_tests(path: Path, text: str, program: str = "") -> CodeSuite:
    """The tests of a file, which may import the module ``program``. Raises UserError that names
    the line of what cannot be run."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
        line = getattr(fault, "lineno", None)
        where = f", line {line}" if line else ""
        reason = getattr(fault, "msg", "") or str(fault) or "too complex to read"
        raise UserError(f"{path}{where}: {reason}.", hint=FORMS) from None
    refused = without_program(path, tree, program)
    file = _TestFile(path, tree)
    for node, what in refused:
        file.refuse(node, what, HINT)
    _Refusals(file).of_all(tree)
    return file.check() or file.suite()


class _TestFile:
    """``body``: statements at the top level; ``last``: those of main guards. ``asserting``: names
    that assert something, themselves or by what they call; ``testing``: those that call tests."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self.path = path
        self.body, self.last = syntax.without_main_guard(tree.body)
        self.everything = [*self.body, *self.last]
        definitions = [n for n in self.everything if isinstance(n, (*FUNCTIONS, ast.ClassDef))]
        self.names = {node.name for node in definitions}
        self.classes = {node.name: node for node in definitions if isinstance(node, ast.ClassDef)}
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        self.loaded = [node.id for node in names if isinstance(node.ctx, ast.Load)]
        self.tests = {node.name for node in definitions if self.is_test(node)}
        asserting = {node.name for node in definitions if syntax.asserts(node, inside=True)}
        self.asserting = syntax.reaching(definitions, asserting)
        self.testing = syntax.reaching(definitions, self.tests)

    def refuse(self, node: ast.AST, what: str, hint: str) -> NoReturn:
        """Raise UserError with the line of ``node``."""
        raise UserError(f"{self.path}, line {getattr(node, 'lineno', 0)}: {what}.", hint=hint)

    def check(self) -> CodeSuite | None:
        """A file in HumanEval's form: ``check(candidate)``, called once with a name, or never."""
        checks = [n for n in self.everything if isinstance(n, FUNCTIONS) and n.name == "check"]
        names = [name for node in self.everything if (name := _checks(node))]
        if len(checks) != 1 or len(required(checks[0])) != 1 or len(names) > 1:
            return None
        if self.loaded.count("check") > len(names):
            return None  # a helper of other tests
        for node in self.everything:
            if self.is_test(node):
                hint = "Call check(NAME) in a test, or put it into a file of its own."
                self.refuse(node, "a test beside check(candidate)", hint)
        left = [n for n in self.everything if not _checks(n) and not self._runs_again(n)]
        return CodeSuite(check=syntax.source(left), entry_point=names[0] if names else CANDIDATE)

    def suite(self) -> CodeSuite:
        """The file as texts to run. Raises UserError where there is no test in it.

        Imports and definitions go before the tests, but those that need a value which is made
        between them; other statements go with the test after them.
        """
        setup: list[ast.stmt] = []
        texts: _Texts = []
        waiting: list[ast.stmt] = []
        made: set[str] = set()
        functions: list[ast.stmt] = []
        last: list[ast.stmt] = []
        late = set(self.testing)  # names that are there after the tests only
        for node in self.body:
            if self.is_test(node):
                functions.append(node)
            elif self._runs_again(node) or (syntax.called(node) | syntax.read(node)) & late:
                late |= syntax.bound(node)
                last.append(node)
            elif _is_definition(node) and not syntax.needed(node) & made:
                setup.append(node)
            else:
                made |= syntax.bound(node)
                waiting = self._add(texts, waiting, node)
        for hook in _MODULE_HOOKS:
            waiting += syntax.parsed(f"{hook}()") if hook in self.names else []
        for node in functions:
            for lines in self._runs(node):
                texts.append([*waiting, *lines])
                waiting = []
        for node in (n for n in (*last, *self.last) if not self._runs_again(n)):
            waiting = self._add(texts, waiting, node)
        if not texts:
            raise UserError(f"{self.path}: no test in it.", hint=FORMS)
        texts[-1] += waiting
        asserts = tuple(map(syntax.source, texts))
        return CodeSuite(asserts=asserts, setup=syntax.source(setup))

    def _add(self, texts: _Texts, waiting: list[ast.stmt], node: ast.stmt) -> list[ast.stmt]:
        """Add a statement to the texts, after those that wait, if it tests something. What waits
        then."""
        waiting = [*waiting, node]
        if not (syntax.asserts(node) or syntax.called(node) & (self.asserting | self.testing)):
            return waiting
        texts.append(waiting)
        return []

    def _runs_again(self, node: ast.stmt) -> bool:
        """Whether it calls a runner of tests, or a test as it is: they are run anyway."""
        if not isinstance(node, ast.Expr | ast.Raise):
            return False
        for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
            *owner, name = dotted(call.func)
            if name == "main" and owner and owner[0] in _RUNNERS:
                return True
            if name == "main" and not owner and self._imports_main():
                return True
        match node:
            case ast.Expr(ast.Call(ast.Name(name), [], [])):
                return name in self.tests
        return False

    def _imports_main(self) -> bool:
        froms = [node for node in self.everything if isinstance(node, ast.ImportFrom)]
        return any(
            node.module in _RUNNERS for node in froms for a in node.names if a.name == "main"
        )

    # Functions and classes of tests.

    def is_test(self, node: ast.stmt) -> bool:
        """Whether it is for a runner of tests to find, and not a helper that the file calls."""
        if isinstance(node, FUNCTIONS):
            helper = required(node) and not node.decorator_list and node.name in self.loaded
            return node.name.startswith("test") and not helper
        if not isinstance(node, ast.ClassDef):
            return False
        named = node.name.startswith("Test") and any(self.methods(node))
        return named or (self.is_case(node) and any(self.methods(node)))

    def is_case(self, node: ast.ClassDef, kind: str = "TestCase") -> bool:
        """Whether it inherits from unittest's class."""
        names = [dotted(base)[-1] for base in node.bases]
        bases = [self.classes[name] for name in names if self._is_base(name, node)]
        return any(name.endswith(kind) for name in names) or any(
            self.is_case(base, kind) for base in bases
        )

    def _is_base(self, name: str, node: ast.ClassDef) -> bool:
        return name in self.classes and self.classes[name].lineno < node.lineno

    def methods(self, node: ast.ClassDef, prefix: str = "test") -> dict[str, Function]:
        """Methods whose names begin so, those of bases in this file as well."""
        methods: dict[str, Function] = {}
        for name in (dotted(base)[-1] for base in reversed(node.bases)):
            if self._is_base(name, node):
                methods |= self.methods(self.classes[name], prefix)
        own = [n for n in node.body if isinstance(n, FUNCTIONS) and n.name.startswith(prefix)]
        return methods | {method.name: method for method in own}

    def _runs(self, node: ast.stmt) -> Iterator[list[ast.stmt]]:
        """What runs a function or a class of tests: a text each, the first with its definition."""
        plain = copy.deepcopy(node)
        for part in ast.walk(plain):
            if isinstance(part, FUNCTIONS):
                part.decorator_list = [d for d in part.decorator_list if not is_parametrize(d)]
        before = [plain]
        if isinstance(node, FUNCTIONS):
            yield [*before, *_calls(node, node.name)]
        if not isinstance(node, ast.ClassDef):
            return
        case = self.is_case(node)
        for hook in self.methods(node, "setUpClass" if case else "setup_class"):
            before += syntax.parsed(f"{node.name}.{hook}()")
        for name, method in self.methods(node).items():
            if case:
                yield [*before, *syntax.parsed(f"{node.name}({name!r}).debug()")]
            else:
                yield [*before, *self._in_object(node, method)]
            before = []

    def _in_object(self, node: ast.ClassDef, method: Function) -> list[ast.stmt]:
        """pytest's class: a fresh object for each of its tests."""
        lines = [f"__case__ = {node.name}()"]
        for name, hook in self.methods(node, "setup_method").items():
            given = f"__case__.{method.name}" if len(required(hook)) > 1 else ""
            lines.append(f"__case__.{name}({given})")
        return syntax.parsed("\n".join(lines)) + _calls(method, f"__case__.{method.name}")


def _calls(node: Function, name: str) -> list[ast.stmt]:
    """The call of a test, in a loop for each ``parametrize`` it has."""
    loops = [
        form for d in node.decorator_list if is_parametrize(d) and (form := syntax.parameters(d))
    ]
    text = f"{name}({', '.join(f'**__given{number}__' for number in range(len(loops)))})"
    if isinstance(node, ast.AsyncFunctionDef):
        text = f"__import__('asyncio').run({text})"
    for number, (names, values) in enumerate(loops):
        row = "__row__" if len(names) > 1 else "(__row__,)"
        # pytest.param(...) holds its values.
        row = f"__row__.values if type(__row__).__name__ == 'ParameterSet' else {row}"
        given = f"dict(zip({names!r}, {row}, strict=True))"
        inner = text.replace("\n", "\n    ")
        text = f"for __given{number}__ in [{given} for __row__ in {values}]:\n    {inner}"
    return syntax.parsed(text)


def _is_definition(node: ast.stmt) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef, *FUNCTIONS))


def _checks(node: ast.stmt) -> str:
    """NAME of a statement ``check(NAME)``, else ""."""
    match node:
        case ast.Expr(ast.Call(ast.Name("check"), [ast.Name(name)])):
            return name
    return ""


class _Refusals:
    """What of a file cannot be run. Every method raises UserError for it."""

    def __init__(self, file: _TestFile) -> None:
        self._file = file
        self._refuse = file.refuse

    def of_all(self, tree: ast.Module) -> None:
        """Look through all of a file."""
        functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
        # A call of theirs alone runs nothing.
        idle = {n.name for n in functions if syntax.is_generator(n)}
        idle |= {n.name for n in functions if isinstance(n, ast.AsyncFunctionDef)}
        for hook in functions:
            if hook.name in _LAST_HOOKS and syntax.asserts(hook, inside=True):
                self._refuse(hook, f"`{hook.name}` is not called here", "Assert it in a test.")
        for node in ast.walk(tree):
            self._of_pytest(node)
            self._of_emptiness(node, idle - self._file.tests)
        for node in self._file.everything:
            if isinstance(node, ast.ClassDef):
                self._of_class(node)
            elif isinstance(node, FUNCTIONS):
                self._of_function(node)
            else:
                self._of_statement(node)

    def _of_pytest(self, node: ast.AST) -> None:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.partition(".")[0] == "pytest" for name in names) and not find_spec("pytest"):
            self._refuse(node, "pytest is not installed here", "Install it, or write asserts.")
        if not isinstance(node, ast.Call):
            return
        name = dotted(node)[-1]
        if name in ("skip", "skipTest", "SkipTest", "xfail"):
            self._refuse(node, f"`{name}` is not known here", "Take it away, or the test.")
        if name in ("testmod", "testfile"):
            self._refuse(node, "tests in doc strings are not run", "Write them as asserts.")
        if name == "param" and any(keyword.arg == "marks" for keyword in node.keywords):
            self._refuse(node, "marks of a parameter are not known here", "Take them away.")

    def _of_emptiness(self, node: ast.AST, idle: set[str]) -> None:
        match node:
            case ast.Assert(ast.Tuple([_, *_])):
                self._refuse(node, "an assert of a tuple, which is always true", "Take () away.")
            case ast.Expr(ast.Call(ast.Name(name))) if name in idle:
                hint = "Await it, or run it by asyncio.run or list."
                self._refuse(node, f"a call of `{name}` alone runs nothing of it", hint)

    def _of_statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.If) and "__name__" in syntax.needed(ast.Expr(node.test)):
            hint = 'Write if __name__ == "__main__":'
            self._refuse(node, "a main guard of another form", hint)
        if "pytestmark" in syntax.bound(node):
            self._refuse(node, "marks of all tests are not known here", "Take them away.")
        for inner in ast.walk(node):
            if isinstance(inner, (*FUNCTIONS, ast.ClassDef)) and self._file.is_test(inner):
                hint = "Put it at the top level of the file."
                self._refuse(inner, f"`{inner.name}` is a test inside of a statement", hint)

    def _of_class(self, node: ast.ClassDef) -> None:
        inner = [n for n in node.body if isinstance(n, FUNCTIONS)]
        if not self._file.is_test(node):
            if any(syntax.asserts(n, inside=True) for n in inner):
                hint = "Let it inherit from unittest.TestCase, or name it Test..."
                self._of_unused(node, f"nothing runs the tests in `{node.name}`", hint)
            return
        self._of_decorators(node)
        if not self._file.is_case(node) and self._file.methods(node, "__init__"):
            self._refuse(node, "a class of tests with __init__", "Use setup_method.")
        for part in node.body:
            if isinstance(part, ast.ClassDef) and self._file.is_test(part):
                self._refuse(part, "a class of tests in a class", "Put it at the top level.")
        awaits = not self._file.is_case(node) or self._file.is_case(node, "AsyncioTestCase")
        for method in inner:
            self._of_decorators(method)
            if not method.name.startswith("test"):
                continue
            if isinstance(method, ast.AsyncFunctionDef) and not awaits:
                hint = "Inherit from unittest.IsolatedAsyncioTestCase."
                self._refuse(method, f"nothing awaits `{method.name}`", hint)
            static = any(dotted(d)[-1] == "staticmethod" for d in method.decorator_list)
            self._of_parameters(method, [] if static else required(method)[:1])

    def _of_function(self, node: Function) -> None:
        self._of_decorators(node)
        if node.name in _HOOKS:
            self._refuse(node, f"`{node.name}` is not called here", "Do it in the tests.")
        if self._file.is_test(node):
            self._of_parameters(node, [])
        elif node.name in self._file.asserting and node.name not in (*_MODULE_HOOKS, "check"):
            what = f"`{node.name}` asserts something and nothing calls it"
            self._of_unused(node, what, f"Name it test_{node.name}, or call it.")

    def _of_unused(self, node: Function | ast.ClassDef, what: str, hint: str) -> None:
        if node.name not in self._file.loaded:
            self._refuse(node, what, hint)

    def _of_parameters(self, node: Function, bound: Sequence[str]) -> None:
        """``bound``: those that a method gets from its object."""
        if syntax.is_generator(node):
            self._refuse(node, f"`{node.name}` yields, so that a call runs nothing", "Use return.")
        given = list(bound)
        for loop in filter(is_parametrize, node.decorator_list):
            form = syntax.parameters(loop)
            if form is None:
                hint = 'Write parametrize("a, b", [...]).'
                self._refuse(loop, "a `parametrize` of another form", hint)
            given += form[0]
        missing = [name for name in required(node) if name not in given]
        # Other decorators may give it something.
        marks = all(dotted(d)[-2:-1] == ["mark"] for d in node.decorator_list)
        if missing and marks:
            what = f"`{node.name}` needs `{missing[0]}`, and fixtures are not known here"
            self._refuse(node, what, "Make it in the test.")

    def _of_decorators(self, node: Function | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            name = dotted(decorator)[-1]
            if name in _UNKNOWN or (name == "parametrize" and isinstance(node, ast.ClassDef)):
                hint = "Take it away, or the test."
                self._refuse(decorator, f"`{name}` is not known here", hint)
