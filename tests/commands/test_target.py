from tests.commands.scenario import ADA, NAMING, given

from calipso.commands.target import CordonTarget, OpenTarget, RecordOrphanRemoved
from calipso.events.target import OrphanRemoved, TargetCordoned, TargetOpened

TARGET = NAMING.target("docker-a")
cordon = CordonTarget(target_id=TARGET, name="docker-a", reason="new disks")
open_again = OpenTarget(target_id=TARGET, name="docker-a")
cordoned = TargetCordoned(target_id=TARGET, name="docker-a", reason="new disks")
opened = TargetOpened(target_id=TARGET, name="docker-a")


def test_a_target_is_taken_out_of_service_and_back() -> None:
    given().when(cordon).then(cordoned)
    given(cordoned).when(cordon).then()
    given(cordoned).when(open_again).then(opened)
    given(cordoned, opened).when(open_again).then()
    given(cordoned, opened).when(cordon).then(cordoned)


def test_an_open_target_is_open_already() -> None:
    given().when(open_again).then()


def test_every_orphan_is_told() -> None:
    command = RecordOrphanRemoved(
        target_id=TARGET, name="docker-a", container_id=ADA, runtime_id="9f86", reason="its record has ended"
    )
    removed = OrphanRemoved(
        target_id=TARGET, name="docker-a", container_id=ADA, runtime_id="9f86", reason="its record has ended"
    )
    given(cordoned).when(command).then(removed)
