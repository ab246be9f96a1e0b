"""Prompts of CODAL-Bench for the model under test and for the judge, and how a mark is read.

The protocol is that of the benchmark (a principle before the instruction; single answers
marked from 1 to 10 beside a reference). The wording is ours, so marks compare only with marks
given under the same :data:`VERSION`.
"""

import re

VERSION = "codal-1"  # Changes with any word below; it is recorded with every score

PRINCIPLES = {
    "instruction-following": "Follow the instruction to the letter and explain any deviation.",
    "readability": "Write code that is easy to read, with clear names and helpful comments.",
    "complexity": (
        "Write code that is efficient in time and memory and no more complex than needed."
    ),
    "style": "Write code that follows the conventions and idioms of its language.",
    "explanation": "Explain your code clearly, to the depth its reader needs.",
}
_CRITERIA = {
    "instruction-following": (
        "Instruction following",
        "every requirement is met; nothing is added that was not asked for; constraints on form, "
        "names and libraries are kept; a deviation is said and justified",
    ),
    "readability": (
        "Readability",
        "names say what things are; the layout shows the structure; comments help and are true; "
        "a colleague would understand it at the first reading",
    ),
    "complexity": (
        "Complexity and efficiency",
        "time suits the task; memory and other resources suit the task; the algorithm and the data "
        "structures are well chosen; it is optimised where it matters and simple elsewhere",
    ),
    "style": (
        "Coding style",
        "it is readable; it can be maintained and extended; it is efficient without tricks; it "
        "uses the language's own conventions and idioms",
    ),
    "explanation": (
        "Explanation",
        "the explanation is clear; it is deep enough; it keeps to the code that was asked for; it "
        "is accessible to someone who does not know the answer",
    ),
}
_SYSTEM = (
    "You are an impartial judge of answers to programming instructions. Compare the response "
    "with the reference and mark it by the given criteria only. Give your reasons first, then "
    "a mark from 1 (worst) to 10 (best)."
)
_TASK = """# {title}
Criteria: {criteria}.

Answer in this form:
Rationale: <your reasons>
Rating: <whole number from 1 to 10>

Example:
Rationale: The response does what was asked, but two names mislead.
Rating: 7

# Instruction
{instruction}

# Reference
{reference}

# Response
{response}"""
# A line of its own, also "**Rating:** 7/10"; the example in the prompt above has the plain form.
_RATING = re.compile(r"^\W*rating\W*?:\W*(\d{1,2})(?:\s*/\s*10)?\W*$", re.MULTILINE | re.IGNORECASE)


def task_of(preference: str, instruction: str) -> str:
    """The user's turn: the preference's principle, a blank line, the instruction."""
    return f"{PRINCIPLES[preference]}\n\n{instruction}"


def question_of(
    preference: str, instruction: str, reference: str, response: str
) -> tuple[str, str]:
    """What the judge is asked: system and user message."""
    title, criteria = _CRITERIA[preference]
    return _SYSTEM, _TASK.format(
        title=title,
        criteria=criteria,
        instruction=instruction.strip(),
        reference=reference.strip(),
        response=response.strip() or "(empty)",
    )


def rating_of(judgement: str) -> int | None:
    """The mark of a judgement; None without one from 1 to 10. The last one counts: judges that
    think aloud change their mind."""
    marks = [int(mark) for mark in _RATING.findall(judgement)]
    return marks[-1] if marks and 1 <= marks[-1] <= 10 else None
