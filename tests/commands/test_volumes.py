"""Which folders a container may see: the rule of the facility, on paths as text."""

from dataclasses import replace

import pytest
from tests.commands.scenario import POLICY, SESSION

from calipso.commands.volumes import (
    check_volume,
    common_volumes,
    is_below,
    own_volumes,
    session_volumes,
    working_folder,
)
from calipso.errors import Invalid
from calipso.events.values import Mode, Volume

RO, RW = Mode.READ_ONLY, Mode.READ_WRITE
# data sets below the folder for output, as at facilities with one file system
NESTED = replace(POLICY, output_root="/exp", datasets_root="/exp/raw/sets")


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/output/a", "/output", True),
        ("/output//a/", "/output/", True),
        ("/output/./a", "/output", True),
        ("/output", "/output", False),
        ("/output/", "/output", False),
        ("/output/.", "/output", False),
        ("/outputs/a", "/output", False),
        ("/output/../etc", "/output", False),
        ("/output/a/../../etc", "/output", False),
        ("output/a", "/output", False),
        ("", "/output", False),
        ("//output/a", "/output", False),
        ("/a", "/", True),
        ("/", "/", False),
    ],
)
def test_below(path: str, root: str, *, expected: bool) -> None:
    assert is_below(path, root) is expected


@pytest.mark.parametrize(
    ("source", "mode"),
    [("/datasets/a", RO), ("/datasets/a/b", RO), ("/output/a", RW), ("/output/a", RO), ("/datasets/a..b", RO)],
)
def test_what_a_session_may_have(source: str, mode: Mode) -> None:
    check_volume(Volume(source=source, bind="/p1", mode=mode), POLICY)


@pytest.mark.parametrize(
    ("source", "mode"),
    [
        ("/datasets/a", RW),
        ("/datasets", RO),
        ("/output", RW),
        ("/", RO),
        ("/etc", RO),
        ("/etc", RW),
        ("/datasets2/a", RO),
        ("/datasets/../etc", RO),
        ("/datasets/a/../b", RO),
        ("/output/..", RW),
        ("/output/../datasets/a", RW),
        ("datasets/a", RO),
        ("", RO),
    ],
)
def test_what_a_session_may_not_have(source: str, mode: Mode) -> None:
    with pytest.raises(Invalid) as caught:
        check_volume(Volume(source=source, bind="/p1", mode=mode), POLICY)
    assert caught.value.field == "data_set_path"


@pytest.mark.parametrize("bind", ["..", "../p1", "/p1/..", "/p1/../../etc", "", "/", "//", ".", "/./"])
def test_places_in_the_container_that_may_not_be(bind: str) -> None:
    with pytest.raises(Invalid, match=r"'\.\.' is not allowed|bind must be a folder"):
        check_volume(Volume(source="/datasets/a", bind=bind, mode=RO), POLICY)


@pytest.mark.parametrize("source", ["/exp/raw/sets", "/exp/raw/sets/a", "/exp/raw", "/exp/raw/", "/exp//raw/./sets"])
def test_no_way_leads_to_writable_data_sets(source: str) -> None:
    with pytest.raises(Invalid, match="data sets may not be writable"):
        check_volume(Volume(source=source, bind="/p1", mode=RW), NESTED)
    check_volume(Volume(source=source, bind="/p1", mode=RO), NESTED)


def test_a_folder_beside_nested_data_sets_may_be_written() -> None:
    check_volume(Volume(source="/exp/raw/other", bind="/p1", mode=RW), NESTED)


@pytest.mark.parametrize(
    ("bind", "mode", "expected"),
    [
        ("/p1", RO, "/datasets/p1"),
        ("p1/", RO, "/datasets/p1"),
        ("/p1", RW, "/output/p1"),
        ("/output/p1", RW, "/output/output/p1"),
        ("//p1//x", RW, "/output/p1/x"),
    ],
)
def test_where_a_sessions_volume_is_seen(bind: str, mode: Mode, expected: str) -> None:
    source = "/output/x/" if mode is RW else "/datasets/x/"
    session = replace(SESSION, volumes=(Volume(source=source, bind=bind, mode=mode),))
    assert session_volumes(session, POLICY) == (Volume(source=source.rstrip("/"), bind=expected, mode=mode),)


def test_a_users_own_folders() -> None:
    output, data = own_volumes("ada", POLICY)
    assert output == Volume(source="/output/ada", bind="/output/ada", mode=RW)
    assert data == Volume(source="/datasets/ada", bind="/datasets/ada", mode=RO)


def test_the_first_writable_folder_is_worked_in() -> None:
    first, second = own_volumes("ada", POLICY)
    assert working_folder((second, first)) == "/output/ada"
    assert working_folder((second,)) == ""
    assert working_folder(()) == ""


def test_the_home_folder_and_other_folders_are_seen_by_every_container() -> None:
    tools = Volume(source="/opt/tools", bind="/opt/tools", mode=RO)
    assert common_volumes("ada", POLICY) == ()
    policy = replace(POLICY, home="/home/$USERNAME", other_volumes=(tools,))
    assert common_volumes("ada", policy) == (Volume(source="/home/ada", bind="/tmp/user/home", mode=RW), tools)
