"""A process notices the end of the one that started it, even if that one is killed or was gone before."""

from __future__ import annotations

import subprocess
import sys
import threading

from mtl.parent import when_gone


def test_it_acts_when_the_process_is_killed_although_nobody_has_waited_for_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = threading.Event()
    when_gone(process.pid, gone.set)
    assert not gone.wait(0.6)
    process.kill()
    assert gone.wait(10)  # it is a zombie now
    process.communicate()


def test_it_acts_at_once_when_the_process_is_gone_already() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    gone = threading.Event()
    when_gone(process.pid, gone.set)
    assert gone.wait(10)
