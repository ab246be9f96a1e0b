"""``make references``: what has raced once is compared no more, until its row changes."""

from __future__ import annotations

from cases import Row
from verdicts import digest, merged

ROW = Row("racing", "!pass", "x = 1", "two endings are possible")
CHANGED = Row("racing", "!pass", "x = 2", "two endings are possible")
AGREED = {name: ["signal", "SIGKILL", 0, ["signal"]] for name in ("L3", "L2")}
RACED = ["signal", None, 0, [None]]


def test_a_null_stays_null() -> None:
    again = merged({"of": digest(ROW), "all": RACED}, ROW, AGREED)
    assert again == {"of": digest(ROW), "all": RACED}
    assert merged({"all": RACED}, ROW, AGREED)["all"] == RACED  # from before rows had a hash


def test_of_one_level_alone() -> None:
    written = {"of": digest(ROW), "L3": RACED, "L2": AGREED["L2"]}
    again = merged(written, ROW, AGREED)
    assert (again["L3"], again["L2"]) == (RACED, AGREED["L2"])
    whole = merged({**written, "L3": ["signal", "SIGKILL", 0, None]}, ROW, AGREED)
    assert whole["L3"] == ["signal", "SIGKILL", 0, None]


def test_a_row_that_changed_or_is_new_begins_anew() -> None:
    for written in ({"of": digest(CHANGED), "all": RACED}, {}):
        assert merged(written, ROW, AGREED)["all"] == AGREED["L3"]
