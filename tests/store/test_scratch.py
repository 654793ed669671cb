from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from mtl.store.scratch import scratch

HOLD = """
import sys, time
from pathlib import Path
from mtl.store.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("written")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    left = Path(holder.stdout.readline().strip())
    with scratch(tmp_path) as mine:
        assert mine != left and left.is_dir() and mine.is_dir()
    assert not mine.exists()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert left.is_dir()
    with scratch(tmp_path) as mine:
        assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
