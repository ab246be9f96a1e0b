"""How fuzz tests run whose example is a batch of programs: few, and none is made smaller."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

FUZZ = settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
