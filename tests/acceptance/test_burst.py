"""`ops/bench/burst` in small: what is too much is refused until later, what was accepted is done."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parents[2] / "ops" / "bench" / "burst"


def test_a_burst_is_refused_in_part_and_what_was_accepted_is_done(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    env = {**os.environ, "CALIPSO_MAX_HELD_REQUESTS": "30", "CALIPSO_MAX_HELD_REQUESTS_PER_USER": "4"}
    size = ("--requests", "500", "--seconds", "3", "--users", "20")
    command = [sys.executable, str(PROGRAM), *size, "--json", str(figures)]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads(figures.read_text())
    assert found["accepted"] == found["stored"]["running"] == found["reserved"] > 0
    assert sum(found["statuses"].values()) == 500
    assert set(found["statuses"]) <= {"201", "429", "503"}
    assert len(found["statuses"]) > 1
    assert found["refused_without_retry_after"] == found["unreachable"] == 0
    api = found["peaks"]["calipso api"]
    assert 0 < api["rss_mib"] < 400
    assert 0 < api["connections"] < 600
    assert found["peaks"]["calipso provision"]["rss_mib"] < 400
