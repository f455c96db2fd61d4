"""Locks of runs: one holder at a time, whatever dies, stops, races or is damaged."""

import dataclasses
import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from other_process import other_process

from eibench.errors import UserError
from eibench.execution import lock, lock_file
from eibench.execution.holder import Holder, parse_holder, this_process
from eibench.execution.lock import Locks, locked, shared
from eibench.execution.lock_file import EXPIRY, attending, lock_files

RUN = "ei_plain-depth1_s0_0123abcd"
FOLDER = Path("suite")
FILE = FOLDER / ".running" / RUN


def leave(holder: Holder, age: float = 0.0, path: Path = FILE) -> None:
    """Write a lock file that was renewed `age` seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(holder.to_json())
    stamp = time.time() - age
    os.utime(path, (stamp, stamp))


DEAD = dataclasses.replace(this_process(), started=1)
"""A process with our identifier that began at another time."""
FAR = dataclasses.replace(this_process(), host="node7", pid=3)


def test_one_holds_a_lock_at_a_time():
    with shared(FOLDER) as ours, shared(FOLDER) as theirs:
        assert ours.take(RUN) is None
        assert theirs.take(RUN).pid == os.getpid()
        assert theirs.take("other") is None
        assert set(lock_files(FOLDER)) == {RUN, "other"}
        theirs.release(RUN)  # of which it has none
        assert theirs.take(RUN) is not None
        ours.release(RUN)
        assert theirs.take(RUN) is None
    assert list(FOLDER.iterdir()) == []


def test_a_holder_is_read_as_it_was_written(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    holder = this_process()
    assert parse_holder(holder.to_json()) == holder
    assert holder.where.endswith(f"process {os.getpid()}, job 12_3")
    assert "\x1b" not in dataclasses.replace(holder, host="a\x1b[2J").where


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 10**4, DEAD.to_json()[:-3]])
def test_a_damaged_lock_expires(content):
    leave(FAR)
    FILE.write_bytes(content)
    with shared(FOLDER) as locks:
        assert locks.take(RUN).where == "an unknown host"
        os.utime(FILE, (1, 1))
        assert locks.take(RUN) is None


def test_a_lock_of_a_killed_process_is_taken_over_at_once():
    with other_process(FOLDER, RUN, kill=True) as where, shared(FOLDER) as locks:
        assert locks.take(RUN).where == where
    assert FILE.exists()
    with shared(FOLDER) as locks:
        assert locks.take(RUN) is None


@pytest.mark.parametrize(
    ("holder", "age", "stale"),
    [
        (this_process(), 10 * EXPIRY, False),  # seen to be alive, however late it renews
        (DEAD, 0, True),
        (dataclasses.replace(DEAD, pid=2**30), 0, True),
        (FAR, EXPIRY - 20, False),
        (FAR, EXPIRY + 20, True),
        (dataclasses.replace(DEAD, boot="another"), EXPIRY - 20, False),
        (dataclasses.replace(DEAD, namespace=1), EXPIRY - 20, False),
        (dataclasses.replace(DEAD, namespace=1), EXPIRY + 20, True),
    ],
)
def test_when_a_lock_is_stale(holder, age, stale):
    leave(holder, age)
    with shared(FOLDER) as locks:
        assert (locks.take(RUN) is None) == stale


def test_one_of_many_takes_over():
    count = 12
    with ThreadPoolExecutor(count) as threads:
        for i in range(20):
            leave(DEAD if i % 2 else FAR, 2 * EXPIRY)
            gate, all_locks = threading.Barrier(count), [Locks(FOLDER) for _ in range(count)]

            def take(locks, gate=gate):
                gate.wait()
                return locks.take(RUN)

            others = list(threads.map(take, all_locks))
            assert others.count(None) == 1
            winner = all_locks[others.index(None)]
            assert parse_holder(FILE.read_bytes()) == winner.held[RUN].holder
            assert [p.name for p in FILE.parent.iterdir()] == [RUN]
            winner.release(RUN)


@pytest.mark.parametrize("released", [True, False])
def test_taken_over_by_another_between_two_looks(monkeypatch, released):
    leave(DEAD)
    with shared(FOLDER) as fast, shared(FOLDER) as slow:

        def meanwhile(chain):
            monkeypatch.setattr(lock_file, "_workers_ended", lambda chain: True)
            assert fast.take(RUN) is None
            if released:
                fast.release(RUN)
            return True

        monkeypatch.setattr(lock_file, "_workers_ended", meanwhile)
        assert (slow.take(RUN) is None) == released
        assert [p.name for p in FILE.parent.iterdir()] == [RUN]


@pytest.mark.parametrize("stale", [True, False])
def test_a_process_killed_while_it_takes_over(stale):
    """It has named itself the successor, and not replaced the lock file yet."""
    leave(DEAD)
    second = dataclasses.replace(DEAD if stale else this_process(), nonce="0" * 16)
    leave(second, path=FILE.with_name(f"{RUN}.{DEAD.nonce}"))
    assert lock_files(FOLDER)[RUN].holder == second
    with shared(FOLDER) as locks:
        other = locks.take(RUN)
        assert other == (None if stale else second)
        assert len(list(FILE.parent.iterdir())) == (1 if stale else 2)
        assert list(lock_files(FOLDER)) == [RUN]


def test_file_systems_without_hard_links(monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    leave(DEAD)
    with shared(FOLDER) as ours, shared(FOLDER) as theirs:
        assert ours.take(RUN) is None
        assert theirs.take(RUN) is not None
        ours.release(RUN)
        assert theirs.take(RUN) is None


def test_a_server_whose_answer_is_lost(monkeypatch):
    link = os.link

    def repeated(source, target):
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", repeated)
    with shared(FOLDER) as locks:
        assert locks.take(RUN) is None


def test_locks_are_renewed(monkeypatch):
    monkeypatch.setattr(lock, "RENEWAL", 0.01)
    with shared(FOLDER) as locks:
        locks.take(RUN)
        os.utime(FILE, (1, 1))
        deadline = time.monotonic() + 10
        while FILE.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - FILE.stat().st_mtime < 100
        assert not locks.is_lost(RUN)


def test_a_suspended_process_loses_its_locks():
    with shared(FOLDER) as locks:
        locks.take(RUN)
        locks.held[RUN].renewed -= 2 * EXPIRY
        assert not locks.is_lost(RUN)  # nobody has wanted it
        leave(FAR)
        assert locks.is_lost(RUN)
        locks.release(RUN)
        assert FILE.exists()


def test_a_lock_is_lost_whatever_the_clock_says(monkeypatch):
    """The monotonic clock stands still while a machine sleeps; the other's lock is not renewed."""
    monkeypatch.setattr(lock, "RENEWAL", 0.01)
    with shared(FOLDER) as locks:
        locks.take(RUN)
        leave(FAR, age=100)
        assert locks.is_lost(RUN)
        time.sleep(0.1)
        assert time.time() - FILE.stat().st_mtime > 50


def test_a_server_that_does_not_answer_takes_no_lock_away(monkeypatch):
    with shared(FOLDER) as locks:
        locks.take(RUN)
        with monkeypatch.context() as patch:
            patch.setattr(lock, "read_chain", lambda path: os.stat("nowhere"))
            assert not locks.is_lost(RUN)
        assert not locks.is_lost(RUN)


def test_others_may_read_who_holds_a_lock():
    with shared(FOLDER) as locks:
        locks.take(RUN)
        assert FILE.stat().st_mode & 0o444 == 0o444


def test_workers_of_a_killed_command_are_waited_for(monkeypatch):
    pytest.importorskip("fcntl")
    monkeypatch.setattr(lock_file, "PATIENCE", 0.05)
    leave(DEAD)
    with shared(FOLDER) as locks:
        with attending(FOLDER / RUN):
            assert locks.take(RUN) == DEAD
        with attending(FOLDER / "another"):
            assert locks.take(RUN) is None


def test_holding_waits():
    with shared(FOLDER) as ours, shared(FOLDER) as theirs:
        ours.take("plan")
        threading.Timer(0.1, ours.release, ["plan"]).start()
        with theirs.holding("plan"):
            assert ours.take("plan") is not None
        assert ours.take("plan") is None


def test_the_folder_may_go_meanwhile():
    with shared(FOLDER) as locks:
        locks.take(RUN)
        FILE.unlink()
        FILE.parent.rmdir()
        FOLDER.rmdir()
        assert locks.take("other") is None


def test_one_command_alone():
    with locked(FOLDER), pytest.raises(UserError, match="another eibench run is working here"):
        locked(FOLDER).__enter__()
    with locked(FOLDER):
        pass


@pytest.mark.parametrize("holder", [Holder("damaged"), DEAD])
def test_a_lock_that_is_its_own_successor_is_named(holder):
    for path in (FILE, FILE.with_name(f"{RUN}.{holder.nonce}")):
        leave(holder, 2 * EXPIRY, path)
    assert lock_files(FOLDER)[RUN].holder == holder
    with shared(FOLDER) as locks, pytest.raises(UserError, match=rf"{RUN}: damaged.*delete {RUN}"):
        locks.take(RUN)


@pytest.mark.parametrize("nonce", ["a" * 5000, "../x", "é" * 16, ""])
def test_a_nonce_is_part_of_a_file_name(nonce):
    leave(dataclasses.replace(DEAD, nonce=nonce), 2 * EXPIRY)
    with shared(FOLDER) as locks:
        assert locks.take(RUN) is None
