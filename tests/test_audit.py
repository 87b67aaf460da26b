"""The audit of dependencies never says that all is well about what it did not look at."""

import json
import subprocess
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[1] / "ops" / "audit"
WELL = {"name": "good", "version": "1", "vulns": []}
WEAK = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ([WELL], 0, "1 of 1 packages looked up, 0 weaknesses known"),
        ([WELL, WEAK], 1, "bad 2: PYSEC-1, mended in 3"),
        ([WELL, UNKNOWN], 0, "NOT AUDITED: unknown"),
        ([UNKNOWN], 0, "0 of 1 packages looked up"),
        ([UNKNOWN, WEAK], 1, "NOT AUDITED: unknown"),
    ],
)
def test_a_report_is_judged(tmp_path: Path, found: list[object], status: int, said: str) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"dependencies": found}))
    ended = subprocess.run([AUDIT, "--judge", report], capture_output=True, text=True, check=False)
    assert ended.returncode == status
    assert said in ended.stdout + ended.stderr


def test_a_database_out_of_reach_is_told_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALIPSO_AUDIT_DATABASE", "http://127.0.0.1:9/")
    ended = subprocess.run([AUDIT], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert "NOT AUDITED: the database of weaknesses cannot be reached" in ended.stderr
