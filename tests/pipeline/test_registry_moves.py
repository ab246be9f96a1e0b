"""Promotion, rollback and withdrawal: what stays undone, two at once, and a crash between writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from mlflow.exceptions import MlflowException
from pipeline_workspace import enter
from trained_results import trained

from falcon.cli.main import run
from falcon.errors import UserError
from tasks.support import registry_lock
from tasks.support.errors import PromotionRefused
from tasks.support.registry import Registry
from tasks.support.service_history import entered, events, withdrawn
from tasks.support.workspace import Workspace

pytestmark = pytest.mark.flow


def aliases(registry: Registry) -> dict[str, str]:
    return {name: str(number) for name, number in registry.model().aliases.items()}


def promoted(space: Workspace, seed: int, opponent: str = "champion") -> str:
    trained(space, seed, opponent)
    return Registry.here().promote(automatic=True).number


@pytest.fixture(scope="module")
def three_made(shared: Workspace) -> Workspace:
    """A workspace in which versions 1, 2 and 3 were promoted, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        enter(shared, patch)
        assert [promoted(shared, 1, "base"), promoted(shared, 2), promoted(shared, 3)] == [
            "1", "2", "3",
        ]  # fmt: skip
    return shared


@pytest.fixture
def three(three_made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it, its database included."""
    shutil.copytree(three_made.root, tmp_path / "work", symlinks=True)
    made = Workspace((tmp_path / "work").resolve())
    enter(made, monkeypatch)
    return made


def test_a_rollback_is_undone_by_no_run_and_a_second_one_goes_further_back(
    three: Workspace,
) -> None:
    registry = Registry.here()
    assert aliases(registry) == {"champion": "3", "previous": "2"}
    assert registry.rollback(why="loops on empty lists").number == "2"
    assert aliases(registry) == {"champion": "2", "previous": "1"}
    gone = withdrawn(registry.versions()["3"].tags)
    assert gone is not None
    assert (gone.why, gone.other) == ("loops on empty lists", "2")
    assert "@" in gone.by

    # The next run with nothing changed registers and promotes again; so does one that judged anew.
    assert registry.register().number == "3"
    with pytest.raises(PromotionRefused, match=r"version 3 was withdrawn .* loops on empty lists"):
        registry.promote(automatic=True)
    assert trained(three, 3, "champion").number == "3"
    with pytest.raises(PromotionRefused, match="version 3 was withdrawn"):
        registry.promote(automatic=True)
    with pytest.raises(PromotionRefused, match="was withdrawn"):
        registry.promote()  # by hand, but without knowing it
    assert aliases(registry)["champion"] == "2"

    assert registry.rollback().number == "1"
    assert aliases(registry) == {"champion": "1", "challenger": "3"}
    with pytest.raises(UserError, match=r"no version to go back to \(withdrawn: 2, 3\)"):
        registry.rollback()
    with pytest.raises(PromotionRefused, match="version 3 was withdrawn"):
        registry.rollback(to="3")
    assert registry.rollback(to="3", approve=True).number == "3"
    # The deliberate way back clears nothing: it is one more event.
    whats = [event.what for event in events(registry.versions()["3"].tags)]
    assert whats == ["promoted", "withdrawn", "rolled back to"]
    assert withdrawn(registry.versions()["3"].tags) is None


def test_approval_puts_a_withdrawn_model_back(three: Workspace) -> None:
    registry = Registry.here()
    registry.rollback()
    trained(three, 3, "champion")
    assert registry.promote(approve=True, why="the alarm was false").number == "3"
    event = entered(registry.versions()["3"].tags)
    assert event is not None
    assert (event.what, event.other) == ("approved", "2")
    assert event.why == "the alarm was false (set aside: never_served)"


def test_equal_weights_under_another_version_are_not_put_back_either(three: Workspace) -> None:
    registry = Registry.here()
    registry.rollback()
    file = three.root / "params.yaml"
    file.write_text(file.read_text().replace("  tolerance: 0.03", "  tolerance: 0.04"))
    again = trained(three, 3, "champion")
    assert again.number == "4"  # other settings, so another version
    with pytest.raises(PromotionRefused, match="version 3 was withdrawn"):
        Registry.here().promote(automatic=True)


def test_what_was_trained_from_a_withdrawn_model_waits_for_a_person(three: Workspace) -> None:
    """As when a rollback comes while the next run trains: it would come back as its child."""
    registry = Registry.here()
    registry.rollback(why="slow answers")
    assert trained(three, 4, "champion", start="3").number == "4"
    with pytest.raises(PromotionRefused, match=r"trained from version 3, withdrawn .*slow answers"):
        Registry.here().promote(automatic=True)
    assert aliases(registry)["champion"] == "2"
    assert trained(three, 5, "champion", start="2").number == "5"
    assert Registry.here().promote(automatic=True).number == "5"


def test_withdrawals(three: Workspace) -> None:
    registry = Registry.here()
    move = registry.withdraw("1", why="licence")
    assert str(move) == "version 1 is withdrawn"
    assert aliases(registry) == {"champion": "3", "previous": "2"}
    with pytest.raises(UserError, match=r"version 1 was withdrawn .*licence already"):
        registry.withdraw("1")
    assert str(registry.withdraw()) == "version 3 is withdrawn, version 2 is in service"
    # The last one: then none serves, and the next run compares with the untrained model.
    assert str(registry.withdraw()) == "version 2 is withdrawn, no version is in service"
    assert aliases(registry) == {}
    assert registry.fetch_champion() is None
    with pytest.raises(UserError, match="no version is in service"):
        registry.withdraw()
    trained(three, 4, "base")
    assert Registry.here().promote(automatic=True).number == "4"


def test_a_rollback_goes_where_it_is_sent(three: Workspace) -> None:
    registry = Registry.here()
    for to, text in (("9", "no version 9"), ("3", "in service already")):
        with pytest.raises(UserError, match=text):
            registry.rollback(to=to)
    trained(three, 4, "champion")
    with pytest.raises(UserError, match="version 4 was never in service"):
        registry.rollback(to="4")
    assert registry.rollback(to="1").number == "1"
    assert aliases(registry) == {"champion": "1", "previous": "2", "challenger": "4"}


def test_the_policy_file_decides(three: Workspace) -> None:
    file = three.root / "mlflow" / "registry.yaml"
    tree = yaml.safe_load(file.read_text())
    tree["promotion"]["automatic"] = False
    tree["why_required"] = ["rollback"]
    tree["rollback"]["to_withdrawn"] = "never"
    file.write_text(yaml.safe_dump(tree))
    registry = Registry.here()
    trained(three, 4, "champion")
    with pytest.raises(PromotionRefused, match="automatic is false"):
        registry.promote(automatic=True)
    assert registry.promote().number == "4"
    with pytest.raises(UserError, match="needs a reason"):
        registry.rollback()
    assert registry.rollback(why="slow").number == "3"
    with pytest.raises(PromotionRefused, match="to_withdrawn is `never`"):
        registry.rollback(to="4", approve=True, why="x")
    tree["tags"].append("ticket")
    file.write_text(yaml.safe_dump(tree))
    trained(three, 5, "champion")
    with pytest.raises(PromotionRefused, match="it lacks ticket"):
        Registry.here().promote(approve=True)


def test_the_commands(three: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rollback", "--why", "too slow"]) == 0
    assert capsys.readouterr().out == "version 2 is in service again\n"
    assert run(["withdraw", "1", "--why", "licence"]) == 0
    assert capsys.readouterr().out == "version 1 is withdrawn\n"
    assert run(["promote"]) == 4
    said = capsys.readouterr().err
    assert "version 3 was withdrawn" in said
    assert "too slow" in said
    assert run(["registry", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["champion"], found["rollback_goes_to"], found["changing"]) == ("2", "", None)
    states = {each["version"]: (each["state"], each["why"]) for each in found["versions"]}
    assert states == {
        "3": ("withdrawn", "too slow"), "2": ("in service", "too slow"), "1": ("withdrawn", "licence"),
    }  # fmt: skip
    assert found["versions"][1]["took_over_from"] == "3"
    assert found["versions"][0]["lineage"]["start.version"] == "base"
    assert run(["registry"]) == 0
    said = capsys.readouterr().out
    assert "version 2 is in service" in said
    assert len(said.splitlines()) < 40


def test_a_version_is_promoted_by_the_decision_on_record(three: Workspace) -> None:
    """As when a person says yes hours later, and another run has been there meanwhile."""
    registry = Registry.here()
    trained(three, 4, "champion")
    trained(three, 5, "champion")
    shutil.rmtree(three.root / "outputs")
    assert registry.promote(number="4", by="anna").number == "4"
    event = entered(registry.versions()["4"].tags)
    assert event is not None
    assert event.by == "anna"
    with pytest.raises(PromotionRefused, match="compared with version 3, but version 4"):
        registry.promote(number="5")
    with pytest.raises(UserError, match="no version 9"):
        registry.promote(number="9")


# -- two at once -----------------------------------------------------------------------


def test_two_processes_change_it_one_after_the_other(three: Workspace) -> None:
    """Two rollbacks at once in one clone: both happen, in some order, or one is refused."""
    command = [sys.executable, "-m", "falcon.cli", "rollback"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in both]
    assert all(process.returncode == 0 for process in both), said
    assert {out for out, _ in said} == {
        "version 2 is in service again\n",
        "version 1 is in service again\n",
    }
    registry = Registry.here()
    assert aliases(registry) == {"champion": "1"}
    serials = [e.serial for v in registry.versions().values() for e in events(v.tags)]
    assert sorted(set(serials)) == [1, 2, 3, 4, 5]


def test_a_machine_that_holds_the_lease_keeps_others_out_and_a_dead_one_does_not(
    three: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry.here()
    client, name = registry.tracker.client, registry.name
    other = three.root.parent / "other-clone"
    with registry_lock.registry_lock(client, name, other):
        monkeypatch.setattr(registry, "patience", 0.5)
        with pytest.raises(UserError, match=r"is going on \(.*@.* has it") as refusal:
            registry.rollback()
        assert "\n" not in refusal.value.message
    assert registry_lock.LEASE not in registry.model().tags

    # kill -9 while it is held: its process is known to be gone, so nobody waits a minute.
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tasks.support.registry import Registry\n"
        "from tasks.support.registry_lock import registry_lock\n"
        "r = Registry.here()\n"
        "with registry_lock(r.tracker.client, r.name, Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(other)], check=False)
    assert killed.returncode == -9
    assert registry_lock.LEASE in registry.model().tags
    assert registry.rollback().number == "2"

    # Of another host nothing is known but the age of its lease.
    text = '{"by": "bo@far", "key": "x", "pid": 1, "born": 1.0, "host": "far", "time": %f}'
    client.set_registered_model_tag(name, registry_lock.LEASE, text % time.time())
    with pytest.raises(UserError, match="bo@far has it"):
        registry.rollback()
    stale = time.time() - registry_lock.STALE_S - 1
    client.set_registered_model_tag(name, registry_lock.LEASE, text % stale)
    assert registry.rollback().number == "1"


def test_of_many_that_want_the_lease_one_has_it(three: Workspace) -> None:
    registry = Registry.here()
    inside, most, faults = 0, 0, []

    def hold(number: int) -> None:
        nonlocal inside, most
        try:
            own = Registry.here()
            with registry_lock.registry_lock(
                own.tracker.client, own.name, three.root.parent / f"clone-{number}", patience=60
            ) as lease:
                inside += 1
                most = max(most, inside)
                time.sleep(0.2)
                lease.require()
                inside -= 1
        except BaseException as fault:
            faults.append(fault)
            raise

    threads = [threading.Thread(target=hold, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert most == 1
    assert registry_lock.LEASE not in registry.model().tags


def test_who_writes_the_first_lease_a_moment_too_late_waits(
    three: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses the second of two inserts of one tag."""
    registry = Registry.here()
    client, name = registry.tracker.client, registry.name
    write = registry_lock.RegistryLease.write

    def collide(self: registry_lock.RegistryLease) -> None:
        monkeypatch.setattr(registry_lock.RegistryLease, "write", write)
        client.set_registered_model_tag(name, registry_lock.LEASE, '{"by": "bo@far", "time": 0}')
        raise MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed")

    monkeypatch.setattr(registry_lock.RegistryLease, "write", collide)
    with registry_lock.registry_lock(client, name, three.state, patience=60) as lease:
        assert lease.is_ours(lease.read())


def test_who_lost_the_lease_stops(three: Workspace) -> None:
    registry = Registry.here()
    client, name = registry.tracker.client, registry.name
    with registry_lock.registry_lock(client, name, three.state) as lease:
        client.set_registered_model_tag(name, registry_lock.LEASE, '{"by": "bo@far", "key": "x"}')
        with pytest.raises(UserError, match="took over the registry"):
            lease.require()
    assert "bo@far" in registry.model().tags[registry_lock.LEASE]


# -- a crash between writes --------------------------------------------------------------

KILLED_AT = """
import os, signal, sys
from mlflow import MlflowClient
from tasks.support import registry_lock
from tasks.support.registry import Registry

def dying(method):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*args, **kwargs)
    return call

for name in dir(MlflowClient):
    if name.startswith(("set_registered", "set_model_version", "delete_registered")):
        setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))
registry_lock.SETTLE_S = 0.01
for line in sys.stdin:  # a process for each: what was imported is imported once
    left = int(line)
    if not (child := os.fork()):
        Registry.here().rollback(why="first")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def killed_rollback(three: Workspace) -> Iterator[Callable[[int], int]]:
    """Make a rollback that is killed before its nth write; gives its exit code."""
    pipe = subprocess.PIPE
    words = [sys.executable, "-c", KILLED_AT]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def kill(write: int) -> int:
            print(write, file=process.stdin, flush=True)
            return int(process.stdout.readline())

        yield kill
        process.stdin.close()


@pytest.mark.timeout(300)
def test_killed_at_each_write_the_next_command_completes_it(
    three: Workspace,
    killed_rollback: Callable[[int], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    database, write, code = three.state / "mlflow.db", 0, -9
    whole = database.read_bytes()
    said = []
    while code == -9:
        write += 1
        database.write_bytes(whole)
        code = killed_rollback(write)
        registry = Registry.here()
        lease = registry_lock.read_lease(registry.model())
        began = lease is not None and lease["change"] is not None
        # The same command again: one rollback in all, never two.
        if code == -9:
            assert registry.rollback(why="again").number == "2", write
        said.append("was cut off and is complete now" in capsys.readouterr().err)
        assert said[-1] == began
        assert aliases(registry) == {"champion": "2", "previous": "1"}, write
        assert registry_lock.LEASE not in registry.model().tags, write
        whats = {
            n: [(e.what, e.serial) for e in events(v.tags)] for n, v in registry.versions().items()
        }
        assert whats["3"] == [("promoted", 3), ("withdrawn", 4)], write
        assert whats["2"][-1] == ("rolled back to", 4), write
    assert code == 0
    assert write == 9  # lease, change, three tags, two aliases, lease; there is no ninth
    assert any(said)


def test_another_command_completes_it_first(
    three: Workspace, killed_rollback: Callable[[int], int]
) -> None:
    assert killed_rollback(5) == -9
    registry = Registry.here()
    assert str(registry.withdraw("1")) == "version 1 is withdrawn"
    assert aliases(registry) == {"champion": "2"}
    assert withdrawn(registry.versions()["3"].tags) is not None
