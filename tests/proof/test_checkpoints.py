"""Checkpoints are read as they were written, and an outsider can check them by the recipe of the documentation."""

import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from tests.cli.conftest import run
from tests.proof.conftest import Log

from calipso import credentials
from calipso.errors import Invalid
from calipso.proof import checkpoints

RECIPE = (Path(__file__).parents[2] / "docs" / "proof.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(log: Log, tmp_path: Path) -> Path:
    """A folder with a signed checkpoint and the public key."""
    assert log.run("checkpoint", "export", tmp_path / "calipso.checkpoint", "--sign").status == 0
    (tmp_path / "calipso.pem").write_text(log.run("checkpoint", "key").out)
    return tmp_path


def block_of(kind: str) -> str:
    """The recipe in the documentation that begins with a word."""
    (found,) = re.findall(rf"```{kind}\n(.*?)```", RECIPE, re.DOTALL)
    return str(found)


def by_openssl(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", block_of("sh")], cwd=folder, capture_output=True, text=True, check=False)


def test_openssl_alone_checks_a_signature(folder: Path) -> None:
    assert "Signature Verified Successfully" in by_openssl(folder).stdout
    file = folder / "calipso.checkpoint"
    file.write_bytes(file.read_bytes().replace(b"\n7 ", b"\n6 ", 1))
    assert by_openssl(folder).returncode != 0


def test_sql_alone_checks_the_events(log: Log) -> None:
    def differing() -> list[int]:
        with psycopg.connect(log.program.environment["CALIPSO_DATABASE_URL"]) as connection:
            return [row[0] for row in connection.execute(block_of("sql").encode()).fetchall()]

    assert differing() == []
    log.tamper("UPDATE stored_events SET state = '' WHERE notification_id = 7")
    log.tamper("DELETE FROM stored_events WHERE notification_id = 9")
    assert differing() == [7, 9]


def test_who_has_the_public_key_needs_no_master_key(log: Log, folder: Path) -> None:
    keyless = {name: value for name, value in log.program.environment.items() if name != "CALIPSO_MASTER_KEYS"}
    arguments = ("verify", "--checkpoint", folder / "calipso.checkpoint")
    assert "CALIPSO_MASTER_KEYS_FILE" in run(keyless, *arguments).err
    told = run(keyless, *arguments, "--public-key", folder / "calipso.pem")
    assert (told.status, told.err) == (0, "")
    assert "up to position 20, signed by the key of" in told.out


def test_a_checkpoint_by_another_key_is_refused(log: Log, folder: Path) -> None:
    file, pem = folder / "calipso.checkpoint", folder / "calipso.pem"
    installation = str(checkpoints.parse(file.read_bytes()).checkpoint.installation)
    other = {**log.program.environment, "CALIPSO_MASTER_KEYS": credentials.generate_key_line(2)}
    stranger = run(other, "verify", "--checkpoint", file)
    assert stranger.status == 1
    assert "number 1" in stranger.err
    third = {**log.program.environment, "CALIPSO_MASTER_KEYS": credentials.generate_key_line()}
    assert "not by this key" in run(third, "verify", "--checkpoint", file).err
    assert installation.encode() in file.read_bytes()
    unsigned = folder / "unsigned"
    assert log.run("checkpoint", "export", unsigned).status == 0
    assert "not signed" in log.run("verify", "--checkpoint", unsigned).out
    assert "it is not signed" in log.run("verify", "--checkpoint", unsigned, "--public-key", pem).err


def test_what_is_no_key_or_no_file_is_told(log: Log, folder: Path) -> None:
    file = folder / "calipso.checkpoint"
    told = log.run("verify", "--checkpoint", file, "--public-key", file)
    assert told.err == "error: public key: this is no public key in PEM\n"
    assert "belongs to a --checkpoint" in log.run("verify", "--public-key", folder / "calipso.pem").err
    assert "No such file" in log.run("verify", "--checkpoint", folder / "none").err
    assert "exists already" in log.run("checkpoint", "export", file).err
    assert log.run("checkpoint", "key", "--number", "9").status == 1


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"a letter",
        b"\xff\xfe",
        b"calipso checkpoint 2\n",
        b"calipso checkpoint 1\nfacility: f\n",
    ],
)
def test_another_file_is_no_checkpoint(damaged: bytes) -> None:
    with pytest.raises(Invalid, match="no file of"):
        checkpoints.parse(damaged)


def test_a_checkpoint_that_was_cut_or_mixed_is_refused(folder: Path) -> None:
    lines = (folder / "calipso.checkpoint").read_bytes().splitlines(keepends=True)
    cut, mixed, wrong = lines[:9], [*lines[:6], lines[7], lines[6], *lines[8:]], [*lines[:6], b"x y\n", *lines[7:]]
    for damaged, reason in ((cut, "should have 20 marks and has 3"), (mixed, "order"), (wrong, "is no mark")):
        with pytest.raises(Invalid, match=reason):
            checkpoints.parse(b"".join(damaged))


def test_an_empty_log_has_no_checkpoint(log: Log, tmp_path: Path) -> None:
    log.tamper("DELETE FROM stored_events", "DELETE FROM event_chain")
    assert "no event is chained yet" in log.run("checkpoint", "export", tmp_path / "none").err
