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
    # Naming
    (
        "style",
        "def area(width, height):\n    return width * height\n",
        "def area(W1, hGt):\n    return W1 * hGt\n",
    ),
    (
        "style",
        "def mean(values):\n    return sum(values) / len(values)\n",
        "def mean(l):\n    return sum(l) / len(l)\n",
    ),
    (
        "style",
        "class Account:\n    def deposit(self, amount):\n        self.balance = self.balance + amount\n",
        "class account:\n    def Deposit(self, Amount):\n        self.Balance = self.Balance + Amount\n",
    ),
    (
        "style",
        "MOST_TRIES = 3\n\n\ndef tries(n):\n    return min(n, MOST_TRIES)\n",
        "mostTries = 3\n\n\ndef tries(n):\n    return min(n, mostTries)\n",
    ),
    (
        "style",
        "def lengths(words):\n    return [len(word) for word in words]\n",
        "def lengths(str):\n    return [len(dict) for dict in str]\n",
    ),
    # Documentation
    (
        "style",
        'def gcd(a, b):\n    """Greatest common divisor."""\n    while b:\n        a, b = b, a % b\n    return a\n',
        "def gcd(a, b):\n    while b:\n        a, b = b, a % b\n    return a\n",
    ),
    (
        "style",
        "def half(n):\n    # Rounds down.\n    return n // 2\n",
        "# a\n# b\n# c\n# d\n# e\n# f\n# g\ndef half(n):\n    return n // 2\n",
    ),
    # Duplication and dead code
    (
        "style",
        "def shout(first, second):\n    return [word.strip().upper() + '!' for word in (first, second)]\n",
        "def shout(first, second):\n    out = []\n    first = first.strip()\n    first = first.upper()\n"
        "    out.append(first + '!')\n    second = second.strip()\n    unused = second.upper()\n"
        "    out.append(second + '!')\n    return out\n",
    ),
    (
        "complexity",
        "def last(items):\n    return items[-1] if items else None\n",
        "def last(items):\n    if items:\n        return items[-1]\n        print('never')\n    if False:\n"
        "        return 0\n    return None\n",
    ),
    (
        "complexity",
        "def first(items):\n    for item in items:\n        return item\n    return None\n",
        "def first(items):\n    items\n    1\n    'text'\n    for item in items:\n        item\n        return item\n"
        "    return None\n    return None\n",
    ),
    # Idiom
    (
        "style",
        "def number(text):\n    try:\n        return int(text)\n    except ValueError:\n        return None\n",
        "def number(text):\n    try:\n        value=int(text)\n        return value\n    except:\n        pass\n",
    ),
    (
        "style",
        "def is_even(n):\n    return n % 2 == 0\n",
        "def is_even(n):\n    if n % 2 == 0:\n        return True\n    else:\n        return False\n",
    ),
    (
        "style",
        "def ready(flag):\n    return bool(flag)\n",
        "def ready(flag):\n    return flag == True\n",
    ),
    (
        "style",
        "def extend(items, more=None):\n    return items + (more or [])\n",
        "def extend(items, more=[]):\n    return items + more\n",
    ),
    (
        "style",
        "def pairs(a, b):\n    return list(zip(a, b))\n",
        "def pairs(a, b):\n    out = []\n    for i in range(len(a)):\n        out.append((a[i], b[i]))\n    return out\n",
    ),
    (
        "style",
        "def run(x):\n    y = x + 1\n    return y\n",
        "def run(x): y=x+1; return y\n",
    ),
    # Nesting and branches
    (
        "complexity",
        "def price(age):\n    if age < 6:\n        return 0\n    if age < 18:\n        return 5\n    return 10\n",
        "def price(age):\n    if age >= 6:\n        if age >= 18:\n            if age >= 0:\n                if True or age:\n"
        "                    return 10\n        else:\n            if age < 18:\n                return 5\n    else:\n        return 0\n",
    ),
    (
        "complexity",
        "def flat(rows):\n    return [cell for row in rows for cell in row]\n",
        "def flat(rows):\n    out = []\n    for row in rows:\n        for cell in row:\n            for _ in range(1):\n"
        "                if True:\n                    out.append(cell)\n    return out\n",
    ),
    (
        "complexity",
        "def is_prime(n):\n    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))\n",
        "def is_prime(n):\n    if n < 2:\n        return False\n    if n == 2:\n        return True\n    found = 0\n"
        "    for a in range(2, n):\n        for b in range(2, n):\n            if a * b == n:\n                found = found + 1\n"
        "    if found > 0:\n        return False\n    else:\n        return True\n",
    ),
    (
        "complexity",
        "def vowels(text):\n    return sum(c in 'aeiou' for c in text)\n",
        "def vowels(text):\n    n = 0\n    for c in text:\n        if c == 'a':\n            n += 1\n        elif c == 'e':\n            n += 1\n"
        "        elif c == 'i':\n            n += 1\n        elif c == 'o':\n            n += 1\n        elif c == 'u':\n            n += 1\n    return n\n",
    ),
    (
        "complexity",
        "def total(n):\n    return n * (n + 1) // 2\n",
        "def total(n):\n    s = 0\n    i = 0\n    while True:\n        if i > n:\n            break\n        else:\n            s = s + i\n"
        "            i = i + 1\n    return s\n",
    ),
    (
        "complexity",
        "def unique(items):\n    return list(dict.fromkeys(items))\n",
        "def unique(items):\n    out = []\n    for item in items:\n        if out.count(item) == 0:\n            out.append(item)\n    return out\n",
    ),
    (
        "complexity",
        "def queue(items):\n    from collections import deque\n\n    waiting = deque(items)\n    while waiting:\n        yield waiting.popleft()\n",
        "def queue(items):\n    waiting = list(items)\n    while waiting:\n        waiting.sort()\n        yield waiting.pop(0)\n",
    ),
]
