"""What an experience holds, and what it leaves out."""

from __future__ import annotations

from made_experience import make_experience

from falcon.memory import Experience


def test_the_same_sample_is_the_same_bytes_however_long_it_took() -> None:
    made = make_experience(3)
    slow = made.verdict.model_copy(update={"cpu_s": 1.5, "wall_s": 9.0})
    again = Experience(**{**dict(made), "verdict": slow})
    assert again.verdict.cases == made.verdict.cases
    assert again.model_dump_json() == made.model_dump_json()
