"""Answers as families of models write them, and the program that each holds.

The problem asks for ``add``; those of ``STDIN_ANSWERS`` for a program that reads two numbers.
"""

from __future__ import annotations

ADD = "def add(a, b):\n    return a + b\n"
DRAFT = "def add(a, b):\n    return a - b\n"
MATH = "import math\n"
FSUM = "def add(a, b):\n    return math.fsum([a, b])\n"
HELPED = "def add(a, b):\n    return plus(a, b)\n"
PLUS = "def plus(a, b):\n    return a + b\n"
READS = "a, b = map(int, input().split())\nprint(a + b)\n"
FENCED_DOC = 'def add(a, b):\n    """Sum.\n\n    ```python\n    add(1, 2)\n    ```\n    """\n    return a + b\n'
FLAT_DOC = 'def add(a, b):\n    """Sum.\n```\nadd(1, 2)\n```\n    """\n    return a + b\n'
SHORT_DOC = "def add(a, b):\n  '''\n  ```\n  add(1, 2)\n  ```\n  '''\n  return a + b\n"


def fenced(code: str, info: str = "python", fence: str = "```") -> str:
    return f"{fence}{info}\n{code.rstrip()}\n{fence}"


def indented(text: str, by: str) -> str:
    return "".join(by + line for line in text.splitlines(keepends=True))


ANSWERS: dict[str, tuple[str, str]] = {  # habit: (answer, program)
    # Qwen2.5-Coder: a sentence, a block, an explanation with an example of use.
    "qwen: block and example": (
        f"Here is the function:\n\n{fenced(ADD)}\n\nExample usage:\n\n{fenced('print(add(1, 2))')}", ADD,
    ),
    "qwen: prompt opened the block": (f"{ADD}```", ADD),
    "qwen: opened, then an explanation": (f"{ADD}```\n\nThis function adds.\n", ADD),
    "qwen: opened, explanation with a block": (f"{ADD}```\nUse it:\n{fenced('add(1, 2)')}", ADD),
    "qwen: opened, and opened again": (f"{fenced(ADD)}", ADD),
    "qwen: examples in the block": (fenced(f"{ADD}\n# Test cases\nprint(add(1, 2))\n"), ADD),
    "qwen: asserts in the block": (fenced(f"{ADD}\nassert add(1, 2) == 3\n"), ADD),
    "qwen: imports in a block of their own": (
        f"Imports first:\n{fenced(MATH)}\nand then\n{fenced(FSUM)}", MATH + FSUM,
    ),
    "qwen: helper in an earlier block": (f"{fenced(PLUS)}\nNow:\n{fenced(HELPED)}", PLUS + HELPED),
    "qwen: helper in a later block": (f"{fenced(HELPED)}\nwith\n{fenced(PLUS)}", PLUS + HELPED),
    "qwen: an unneeded block of imports": (f"{fenced(MATH)}\n{fenced(ADD)}", ADD),
    "qwen: an example that imports the answer": (
        f"{fenced(ADD)}\n{fenced('from solution import add' + chr(10) + 'print(add(1, 2))')}", ADD,
    ),
    "qwen: a class of the helper's": (
        f"{fenced('class Pair:' + chr(10) + '    zero = 0')}\n"
        f"{fenced('def add(a, b):' + chr(10) + '    return a + b + Pair.zero')}",
        "class Pair:\n    zero = 0\ndef add(a, b):\n    return a + b + Pair.zero\n",
    ),
    "qwen: a constant and an import behind it": (
        f"{fenced('import math')}\n{fenced('ZERO = math.floor(0.5)')}\n"
        f"{fenced('def add(a, b):' + chr(10) + '    return a + b + ZERO')}",
        "import math\nZERO = math.floor(0.5)\ndef add(a, b):\n    return a + b + ZERO\n",
    ),
    # Llama: bold headings, lists with blocks in them, quotations.
    "llama: heading": (f"**Solution**\n\n{fenced(ADD)}\n\n**Explanation**\n\n* It adds.", ADD),
    "llama: block in a list": (f"1. Define it:\n\n   {indented(fenced(ADD), '   ').strip()}\n\n2. Done.", ADD),
    "llama: block in a bullet": (f"* Code:\n\n  {indented(fenced(ADD), '  ').strip()}\n", ADD),
    "llama: list with four blanks": (f"1.  So:\n\n{indented(fenced(ADD), '    ')}\n\n2.  Done.", ADD),
    "llama: nested list": (f"- a\n  - b\n\n{indented(fenced(ADD), '    ')}\n", ADD),
    "llama: block in a quotation": (indented(fenced(ADD), "> "), ADD),
    "llama: indented without a list": (indented(fenced(ADD), "    "), ADD),
    "llama: indented with tabs": (f"So:\n\n{indented(fenced(ADD), chr(9))}\n", ADD),
    "llama: no fence, words around": (f"Here is the function:\n\n{ADD}\nThis function adds numbers.\n", f"{ADD}\n"),
    "llama: no fence, words before": (f"Sure, this works.\n\n{MATH}\n{FSUM}", f"{MATH}\n{FSUM}"),
    "llama: only code": (ADD, ADD),
    "llama: only a body": ("    return a + b\n", "    return a + b\n"),
    # DeepSeek-Coder: fences of other kinds, several drafts.
    "deepseek: capital language": (fenced(ADD, "Python"), ADD),
    "deepseek: python3": (fenced(ADD, "python3"), ADD),
    "deepseek: py": (fenced(ADD, "py"), ADD),
    "deepseek: no language": (f"Answer:\n{fenced(ADD, '')}\nGood luck.", ADD),
    "deepseek: blank before the language": (fenced(ADD, " python"), ADD),
    "deepseek: attributes behind the language": (fenced(ADD, 'python title="add.py"'), ADD),
    "deepseek: class attribute": (fenced(ADD, "{.python .numberLines}"), ADD),
    "deepseek: tildes": (fenced(ADD, "python", "~~~"), ADD),
    "deepseek: four marks": (fenced(f"# ```\n{ADD}", "python", "````"), f"# ```\n{ADD}"),
    "deepseek: a draft and its correction": (f"{fenced(DRAFT)}\nOops, plus:\n{fenced(ADD)}", ADD),
    "deepseek: a draft, its correction, an example": (
        f"{fenced(DRAFT)}\nNo:\n{fenced(ADD)}\nSo:\n{fenced('add(1, 2)')}", ADD,
    ),
    "deepseek: the last draft is torn": (f"{fenced(ADD)}\nOr:\n```python\ndef add(a, b):\n    return (a", ADD),
    "deepseek: install first": (f"{fenced('pip install numpy', 'bash')}\n{fenced(ADD)}", ADD),
    "deepseek: output last": (f"{fenced(ADD)}\nOutput:\n{fenced('3', '')}", ADD),
    "deepseek: another language first": (f"{fenced('def add(a, b) { }', 'js')}\n{fenced(ADD)}", ADD),
    "deepseek: the tests define it, too": (
        f"{fenced(ADD)}\n{fenced('def test_add():' + chr(10) + '    assert add(1, 2) == 3')}", ADD,
    ),
    "deepseek: CRLF": (fenced(ADD).replace("\n", "\r\n"), ADD.replace("\n", "\r\n")),
    # CodeLlama and StarCoder: marks of their own, fences in odd places.
    "codellama: its marks": (f"[PYTHON]\n{ADD}[/PYTHON]\n[TESTS]\nassert add(1, 2) == 3\n[/TESTS]", ADD),
    "codellama: opening behind a sentence": (f"The code is: ```python\n{ADD}```", ADD),
    "codellama: opening behind a colon": (f"The code is:```python\n{ADD}```", ADD),
    "codellama: closing behind the last line": (f"```python\n{ADD.rstrip()}```", ADD.rstrip()),
    "codellama: closing behind the last line, words": (
        f"```python\n{ADD.rstrip()}```\nIt adds.", ADD.rstrip(),
    ),
    "starcoder: doctests in the doc string": (fenced(FENCED_DOC), FENCED_DOC),
    "starcoder: fences at the left of a doc string": (fenced(FLAT_DOC), FLAT_DOC),
    "starcoder: fences two blanks in": (fenced(SHORT_DOC), SHORT_DOC),
    "starcoder: session of the interpreter": (
        fenced(">>> def add(a, b):\n...     return a + b\n...\n>>> add(1, 2)\n3\n"),
        ADD,
    ),
    "starcoder: main guard": (fenced(f"{ADD}\nif __name__ == '__main__':\n    print(add(1, 2))\n"), ADD),
    "starcoder: future import": (
        fenced(f"from __future__ import annotations\n\n{ADD}"),
        f"from __future__ import annotations\n\n{ADD}",
    ),
    "starcoder: a method": (
        fenced("class Solution:\n    def add(self, a, b):\n        return a + b\n"),
        "class Solution:\n    def add(self, a, b):\n        return a + b\n",
    ),
    # Models that think first: Qwen3, R1, Magistral, gpt-oss, Kimi, OpenThinker.
    "qwen3: thought": (f"<think>\nMaybe\n{fenced(DRAFT)}\n</think>\n\n{fenced(ADD)}", ADD),
    "qwen3: empty thought": (f"<think>\n\n</think>\n\n{fenced(ADD)}", ADD),
    "r1: thought that the prompt opened": (f"First\n{fenced(DRAFT)}\n</think>\n{fenced(ADD)}", ADD),
    "r1: cut while it thinks": (f"<think>\nMaybe\n{fenced(ADD)}\nor", ""),
    "magistral: thought": (f"[THINK]{fenced(DRAFT)}[/THINK]{fenced(ADD)}", ADD),
    "gpt-oss: channels": (
        f"<|channel|>analysis<|message|>{fenced(DRAFT)}<|end|><|channel|>final<|message|>{fenced(ADD)}", ADD,
    ),
    "kimi: thought": (f"◁think▷{fenced(DRAFT)}◁/think▷{fenced(ADD)}", ADD),
    "openthinker: thought": (f"<|begin_of_thought|>{DRAFT}<|end_of_thought|>\n{fenced(ADD)}", ADD),
    # SmolLM2 and other small ones: they ramble, stop in the middle, repeat themselves.
    "smollm: cut in an example": (f"```python\n{ADD}\nprint(add(1,", f"{ADD}\n"),
    "smollm: cut in a second function": (f"{ADD}\ndef test():\n    assert add(", f"{ADD}\n"),
    "smollm: prose behind the code, no fence": (f"{ADD}\nThis function takes two", f"{ADD}\n"),
    "smollm: never closed": (f"Sure!\n```python\n{ADD}", ADD),
    "smollm: says it again": (f"{fenced(ADD)}\n{fenced(ADD)}\n{fenced(ADD)}", ADD),
    "smollm: nothing": ("", ""),
    "smollm: only a fence": ("```", ""),
    "smollm: torn inside": ("```python\ndef add(a, b):\n    return (a", "def add(a, b):\n    return (a"),
}  # fmt: skip

STDIN_ANSWERS: dict[str, tuple[str, str]] = {
    "block and input": (f"{fenced(READS)}\nFor the input\n{fenced('1 2', '')}\nit prints 3.", READS),
    "input first": (f"For\n{fenced('1 2', '')}\nwrite\n{fenced(READS)}", READS),
    "input and output in words": (f"{fenced(READS)}\n{fenced('1 2', 'text')}\n{fenced('3', 'text')}", READS),
    "draft and correction": (f"{fenced('print(1)')}\nBetter:\n{fenced(READS)}", READS),
    "opened by the prompt": (f"{READS}```\nIt adds.", READS),
    "no fence": (READS, READS),
    "no fence, words before": (f"Here:\n\nimport sys\n{READS}", f"import sys\n{READS}"),
    "imports apart": (
        f"{fenced('import sys')}\n{fenced('print(sum(map(int, sys.stdin.read().split())))')}",
        "import sys\nprint(sum(map(int, sys.stdin.read().split())))\n",
    ),
}  # fmt: skip
