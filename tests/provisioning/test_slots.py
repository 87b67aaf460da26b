"""Users take turns at the slots of a target."""

import asyncio
from collections import Counter
from itertools import accumulate
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import PATIENCE, wait_until
from tests.provisioning.conftest import House

from calipso.commands.container import RemoveContainer
from calipso.events.container import ContainerStarted, ContainerStarting, State
from calipso.runtimes.turns import Slots

GREEDY, MODEST, LATE = uuid4(), uuid4(), uuid4()


class Queue:
    """Those who want slots; each has its slot until it is told to give it back."""

    def __init__(self, number: int) -> None:
        self.slots = Slots(number)
        self.served: list[UUID] = []
        self.inside: list[tuple[UUID, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, user: UUID, times: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._visit(user)) for _ in range(times)]
        await self._settle()

    async def leave(self) -> None:
        """Let the one go who has been inside the longest."""
        self.inside.pop(0)[1].set()
        await self._settle()

    def held_by(self, user: UUID) -> int:
        return sum(inside == user for inside, _ in self.inside)

    async def _visit(self, user: UUID) -> None:
        async with self.slots.of(user):
            done = asyncio.Event()
            self.served.append(user)
            self.inside.append((user, done))
            await done.wait()

    async def _settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_fifth_of_the_slots_is_never_one_users() -> None:
    queue = Queue(10)
    await queue.come(GREEDY, 50)
    assert queue.held_by(GREEDY) == 8
    await queue.come(MODEST)
    assert queue.held_by(MODEST) == 1


async def test_who_holds_the_fewest_is_next_whoever_came_first() -> None:
    queue = Queue(2)
    await queue.come(GREEDY, 20)
    await queue.come(MODEST, 3)
    await queue.come(LATE)
    assert queue.served == [GREEDY, MODEST]
    await queue.leave()
    await queue.leave()
    assert queue.served == [GREEDY, MODEST, LATE, GREEDY]  # of those who held none, LATE had had none yet


async def test_equals_take_turns() -> None:
    queue = Queue(1)
    await queue.come(GREEDY, 4)
    await queue.come(MODEST, 4)
    for _ in range(7):
        await queue.leave()
    assert queue.served == [GREEDY, MODEST] * 4


async def test_slots_that_are_fewer_are_not_taken_away_and_more_are_handed_out() -> None:
    queue = Queue(4)
    await queue.come(GREEDY, 9)
    assert queue.held_by(GREEDY) == 3
    queue.slots.resize(2)
    await queue.leave()
    await queue.leave()
    assert queue.held_by(GREEDY) == 1  # of two, one is left to others
    queue.slots.resize(5)
    await queue.come(MODEST)
    assert (queue.held_by(GREEDY), queue.held_by(MODEST)) == (4, 1)


async def test_the_provisioners_of_a_target_share_its_starts() -> None:
    house = House(starts=4)
    provisioners = [house.provisioner(f"here/{number}") for number in range(2)]
    house.alive = {"here/0", "here/1"}
    for provisioner in provisioners:
        provisioner.share_starts(2)
    ids = [house.request("memory/silent?silent", user_id=house.open_account(f"user{n}")) for n in range(12)]
    tasks = [asyncio.create_task(provisioners[n % 2].attend(c)) for n, c in enumerate(ids)]

    def starting() -> int:
        return sum(house.state(c) is State.STARTING for c in ids)

    await asyncio.to_thread(wait_until, lambda: starting() == 4, "four starts")
    await asyncio.sleep(0.3)  # long enough for a fifth
    assert starting() == 4
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    house.world.close()


@given(
    number=st.integers(1, 6), actions=st.lists(st.sampled_from(["come a", "come b", "leave", "give up"]), max_size=60)
)
async def test_slots_are_neither_lost_nor_made(number: int, actions: list[str]) -> None:
    queue = Queue(number)
    for action in actions:
        if action.startswith("come"):
            await queue.come(GREEDY if action.endswith("a") else MODEST)
        elif action == "leave" and queue.inside:
            await queue.leave()
        elif action == "give up" and queue.tasks:
            queue.tasks.pop().cancel()
            await asyncio.sleep(0)
    for task in queue.tasks:
        task.cancel()
    await asyncio.gather(*queue.tasks, return_exceptions=True)
    fresh, queue.inside, queue.served = uuid4(), [], []
    others = [uuid4() for _ in range(number)]
    for user in (fresh, *others):
        await queue.come(user)
    assert len(queue.inside) == number
    assert Counter(queue.served) == Counter([fresh, *others][:number])
    for task in queue.tasks:
        task.cancel()
    await asyncio.gather(*queue.tasks, return_exceptions=True)


@pytest.mark.parametrize("starts", [2, 5])
async def test_a_target_never_starts_more_at_once(starts: int) -> None:
    house = House(starts=starts)
    provisioner = house.provisioner()
    ids = [house.request(f"memory/slow?delay={0.1 * starts}") for _ in range(3 * starts)]
    await asyncio.gather(*(provisioner.attend(container_id) for container_id in ids))
    stored = [recorded.event for recorded in house.store.read(after=0, limit=1000).events]
    changes = [isinstance(event, ContainerStarting) - isinstance(event, ContainerStarted) for event in stored]
    assert max(accumulate(changes)) == max(1, starts - 1)  # one user
    assert house.is_consistent()
    house.world.close()


async def test_a_modest_user_does_not_wait_for_a_greedy_one_whose_containers_never_start() -> None:
    house = House(starts=4, run_limit=PATIENCE)
    provisioner = house.provisioner()
    greedy = [house.request("memory/silent?silent") for _ in range(40)]
    waiting = [asyncio.create_task(provisioner.attend(container_id)) for container_id in greedy]
    await asyncio.to_thread(
        wait_until, lambda: sum(house.state(c) is State.STARTING for c in greedy) == 3, "the greedy user's starts"
    )
    modest = house.request(user_id=house.open_account("bob"))
    await asyncio.wait_for(provisioner.attend(modest), PATIENCE / 2)
    assert house.state(modest) is State.RUNNING
    assert sum(house.state(c) is State.STARTING for c in greedy) == 3
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    house.world.close()


async def test_room_that_gets_free_goes_to_users_in_turn() -> None:
    house = House(starts=5, capacity=1, run_limit=PATIENCE)
    provisioner = house.provisioner()
    first, *greedy = (house.request() for _ in range(20))
    await provisioner.attend(first)
    tasks = {c: asyncio.create_task(provisioner.attend(c)) for c in greedy}
    await asyncio.sleep(0.05)
    modest = house.request(user_id=house.open_account("bob"))
    tasks[modest] = asyncio.create_task(provisioner.attend(modest))
    started = 0
    while house.state(modest) is State.REQUESTED:
        running = [c for c in (first, *greedy) if house.state(c) is State.RUNNING]
        started += len(running)
        for container_id in running:
            house.issue(RemoveContainer(container_id=container_id))
            await provisioner.attend(container_id)
        await asyncio.sleep(0.01)
    assert started <= 5  # those that stood in line before, and no more
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    house.world.close()
