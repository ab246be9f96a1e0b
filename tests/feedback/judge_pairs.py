"""Pairs of programs for one task, the better first, marked by hand: (aspect, better, worse)."""

from __future__ import annotations

GOOD_SUM = '''def total(values):
    """Sum of the positive values."""
    result = 0
    for value in values:
        if value > 0:
            result += value
    return result
'''

PAIRS: list[tuple[str, str, str]] = [
    ("style", GOOD_SUM, GOOD_SUM.replace("values", "theVALUES").replace("result", "Res_Ult")),
    ("style", GOOD_SUM, "import os\nimport sys\n" + GOOD_SUM),
    ("style", GOOD_SUM, GOOD_SUM.replace('    """Sum of the positive values."""\n', "")),
    ("style", GOOD_SUM, GOOD_SUM.replace("    result = 0", "    result=0; unused=1")),
    ("style", GOOD_SUM, GOOD_SUM.replace("values):", "values, seen=[]):")),
    ("style", GOOD_SUM, GOOD_SUM.replace("    return", "    temporary = 5\n    return")),
    ("style", GOOD_SUM, GOOD_SUM + "    result = 1\n    print(result)\n"),
    (
        "style",
        GOOD_SUM,
        GOOD_SUM.replace("value > 0", "value > 0 and " + "value != 1 and " * 9 + "1"),
    ),
    ("style", GOOD_SUM, GOOD_SUM.replace("values", "list")),
    ("style", GOOD_SUM, GOOD_SUM.replace("    ", "\t")),
    (
        "style",
        GOOD_SUM,
        GOOD_SUM.replace("        if value > 0:\n            ", "        if value > 0: "),
    ),
    (
        "style",
        "def parse(text):\n    try:\n        return int(text)\n    except ValueError:\n        return 0\n",
        "def parse(text):\n    try:\n        return int(text)\n    except:\n        return 0\n",
    ),
    (
        "style",
        "def parse(text):\n    try:\n        return int(text)\n    except ValueError:\n        return 0\n",
        "def parse(text):\n    return eval(text)\n",
    ),
    (
        "style",
        "def missing(x):\n    return x is None\n",
        "def missing(x):\n    if x == None:\n        return True\n    else:\n        return False\n",
    ),
    (
        "style",
        "def is_text(x):\n    return isinstance(x, str)\n",
        "def is_text(x):\n    return type(x) == str\n",
    ),
    (
        "style",
        "def show(items):\n    for item in items:\n        print(item)\n",
        "def show(items):\n    for i in range(len(items)):\n        print(items[i])\n",
    ),
    (
        "style",
        "def double(x):\n    return 2 * x\n",
        "double = lambda x: 2 * x\n",
    ),
    (
        "style",
        "class Counter:\n    def add(self, n):\n        self.n = n + 1\n",
        "class counter_class:\n    def Add(self, N_n):\n        self.n = N_n + 1\n",
    ),
    (
        "style",
        "from math import sqrt\n\n\ndef root(x):\n    return sqrt(x)\n",
        "from math import *\n\n\ndef root(x):\n    return sqrt(x)\n",
    ),
    (
        "style",
        "def add(total, x):\n    return total + x\n",
        "total = 0\n\n\ndef add(x):\n    global total\n    total = total + x\n    return total\n",
    ),
    (
        "style",
        "def norm(points):\n    return [abs(x) + abs(y) for x, y in points]\n",
        "def norm(points):\n    out = []\n    for p in points:\n        out.append(abs(p[0]) + abs(p[1]))\n"
        "    other = []\n    for p in points:\n        out.append(abs(p[0]) + abs(p[1]))\n    return out\n",
    ),
    (
        "style",
        GOOD_SUM,
        "# sum\n# of\n# all\n# the\n# values\n# that\n# are\n# above\n# zero\n" + GOOD_SUM,
    ),
    ("style", GOOD_SUM, ""),
    ("style", GOOD_SUM, "# only a comment\n"),
    ("style", GOOD_SUM, "pass\n"),
    ("style", GOOD_SUM, "def total(values):\n    pass\n"),
    ("style", GOOD_SUM, "def total(values:\n    return sum(values)\n"),
    ("complexity", GOOD_SUM, ""),
    ("complexity", GOOD_SUM, "pass"),
    ("complexity", GOOD_SUM, "def total(values):\n    return 0\n"),
    (
        "complexity",
        GOOD_SUM,
        "def total(values: list[int]) -> int:\n    raise NotImplementedError()\n",
    ),
    (
        "complexity",
        "def total(v):\n    return sum(x for x in v if x > 0)\n",
        GOOD_SUM + "\n" + GOOD_SUM,
    ),
    (
        "complexity",
        "def has_pair(v, t):\n    seen = set()\n    for x in v:\n        if t - x in seen:\n"
        "            return True\n        seen.add(x)\n    return False\n",
        "def has_pair(v, t):\n    for i in range(len(v)):\n        for j in range(len(v)):\n"
        "            if i != j and v[i] + v[j] == t:\n                return True\n    return False\n",
    ),
    (
        "complexity",
        "def grade(n):\n    names = {9: 'A', 8: 'B', 7: 'C', 6: 'D'}\n    return names.get(n // 10, 'F')\n",
        "def grade(n):\n    if n >= 90:\n        return 'A'\n    elif n >= 80:\n        return 'B'\n"
        "    elif n >= 70:\n        return 'C'\n    elif n >= 60:\n        return 'D'\n    else:\n"
        "        return 'F'\n",
    ),
    (
        "complexity",
        "def check(a, b, c):\n    return a > 0 and b > 0 and c > 0\n",
        "def check(a, b, c):\n    if a > 0:\n        if b > 0:\n            if c > 0:\n"
        "                return True\n            else:\n                return False\n        else:\n"
        "            return False\n    else:\n        return False\n",
    ),
    (
        "complexity",
        "def common(a, b):\n    known = set(b)\n    return [x for x in a if x in known]\n",
        "def common(a, b):\n    out = []\n    for x in a:\n        for y in b:\n            if x == y:\n"
        "                if out.count(x) == 0:\n                    out.append(x)\n    return out\n",
    ),
    (
        "complexity",
        "def smallest(v, k):\n    return sorted(v)[:k]\n",
        "def smallest(v, k):\n    out = []\n    while len(out) < k:\n        v = sorted(v)\n"
        "        out.append(v.pop(0))\n    return out\n",
    ),
    (
        "complexity",
        "def triples(n):\n    found = []\n    for a in range(1, n):\n        for b in range(a, n):\n"
        "            found.append((a, b, n - a - b))\n    return found\n",
        "def triples(n):\n    found = []\n    for a in range(1, n):\n        for b in range(a, n):\n"
        "            for c in range(b, n):\n                if a + b + c == n:\n"
        "                    found.append((a, b, c))\n    return found\n",
    ),
    (
        "complexity",
        "def sign(x):\n    return (x > 0) - (x < 0)\n",
        "def sign(x):\n    if x > 0:\n        return 1\n    if x < 0:\n        return -1\n    return 0\n",
    ),
    ("complexity", GOOD_SUM, GOOD_SUM + "    result = 1\n    result = 2\n    result = 3\n"),
    (
        "complexity",
        "def fact(n):\n    out = 1\n    for k in range(2, n + 1):\n        out *= k\n    return out\n",
        "def fact(n):\n"
        + "".join(f"    if n == {k}:\n        return {k} * {k}\n" for k in range(12)),
    ),
]
