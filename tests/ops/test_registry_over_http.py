"""The registry on an MLflow server: what was withdrawn stays so, and who did it is on record."""

from __future__ import annotations

import json

import pytest

from tests.ops.clone import Clone
from tests.ops.servers import mlflow_server


@pytest.mark.nightly
def test_rollback_promotion_and_withdrawal_over_http(clone_of_two: Clone) -> None:
    clone = clone_of_two
    with mlflow_server(clone.space.state) as server:
        clone.environment["MLFLOW_TRACKING_URI"] = server.url
        done = clone.falcon("rollback", "--why", "loops").ok()
        assert done.out == "version 1 is in service again\n"
        assert clone.falcon("promote").refused("version 2 was withdrawn", "loops").code == 4
        clone.falcon("rollback").refused("no version to go back to")
        assert clone.falcon("withdraw").ok().out.endswith("no version is in service\n")
        found = json.loads(clone.falcon("registry", "--json").ok().out)
        assert (found["champion"], found["rollback_goes_to"], found["changing"]) == ("", "", None)
        states = {each["version"]: (each["state"], each["why"]) for each in found["versions"]}
        assert states == {"2": ("withdrawn", "loops"), "1": ("withdrawn", "")}
        assert all("@" in each["by"] for each in found["versions"])
        done = clone.falcon("rollback", "--to", "1", "--approve", "--why", "licence is clear").ok()
        assert done.out == "version 1 is in service again\n"
