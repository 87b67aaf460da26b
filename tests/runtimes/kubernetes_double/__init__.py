"""An API server of Kubernetes, with a node, inside the tests: what a real cluster cannot do on demand, this can.

It is no mock: clients speak HTTP to it over a socket, its objects have versions, watches and owners, bodies are checked
against the schemas of Kubernetes, and services lead to programs that answer. The contract that real clusters keep holds
it to what they do. What nothing here can do is in the kernel: limits are not enforced, programs have no uid of their
own, nothing can be executed in a pod, network policies are stored only.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import yaml
from aiohttp import web
from tests.runtimes.kubernetes_double import telling
from tests.runtimes.kubernetes_double.addresses import Addresses
from tests.runtimes.kubernetes_double.api import Api, Parts
from tests.runtimes.kubernetes_double.controllers import Collector, Keeper, Scheduler
from tests.runtimes.kubernetes_double.kubelet import Node, raise_failure
from tests.runtimes.kubernetes_double.proxy import ServiceProxy
from tests.runtimes.kubernetes_double.resources import NAMESPACES, PODS
from tests.runtimes.kubernetes_double.rights import Rights
from tests.runtimes.kubernetes_double.store import Store
from tests.runtimes.kubernetes_double.trouble import Case, Trouble
from tests.runtimes.kubernetes_double.watches import Watches

T = TypeVar("T")


class Double:
    """A cluster with the namespace `default`, in a thread of its own, for the time of a `with` block.

    Args:
        folder: where its kubeconfig file is written.
    """

    def __init__(self, folder: Path) -> None:
        self.kubeconfig = folder / "double.kubeconfig"
        self.trouble = Trouble()
        self._store, self._addresses = Store(), Addresses()
        self._watches = Watches(self._store)
        self._rights = Rights(self._store)
        self._node = Node(store=self._store)
        self._failures: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, failure: self._failures.append(failure))
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="kubernetes-double")
        self._started: threading.Event = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10), "the double did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        assert not self._failures, self._failures

    def kill(self, uid: str) -> None:
        """End the process of a pod by force."""
        self.call(self._node.processes[uid].kill)

    def files(self, uid: str) -> Mapping[str, bytes]:
        """The files of secrets that the process of a pod finds, by their path."""
        return self.call(lambda: self._node.processes[uid].files)

    def tell(self, name: str, **status: Any) -> None:  # noqa: ANN401 - parts of a pod's status
        """Let a pod of the namespace `default` have this status, as a node or a controller may say."""
        self.call(lambda: telling.tell(self._store, self._store.get(PODS, "default", name), **status))

    def warn(self, name: str, reason: str, message: str) -> None:
        """Let the cluster warn of a pod of the namespace `default`."""
        self.call(lambda: telling.warn(self._store, self._store.get(PODS, "default", name), reason, message))

    def rights_used(self) -> set[tuple[str, str]]:
        """The resources and verbs that accounts other than the administrator's have asked for."""
        return self.call(self._rights.used.copy)

    def renew_token(self) -> None:
        """Let the administrator's token expire, and write a new one into the kubeconfig."""
        self.call(self._rights.renew)
        self._write(urlsplit(yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]).port or 0)

    def forget(self) -> None:
        """Forget what has changed until now: watches from an earlier version are answered with 410."""
        self.call(self._store.forget)

    def bookmark(self) -> None:
        """Tell all watches which version has been reached."""
        self.call(self._watches.bookmark)

    def end_watches(self) -> None:
        """End all watches in good order."""
        self.call(self._watches.end)

    def cut_watches(self) -> None:
        """Break the connections of all watches."""
        self.call(self._watches.cut)

    def silence_watches(self) -> None:
        """Let all watches that are open now die without a word."""
        self.call(self._watches.silence)

    def watches(self) -> int:
        """How many watches are open."""
        return self.call(lambda: len(self._watches))

    def holding(self, *, verb: str = "", plural: str = "") -> AbstractContextManager[Case]:
        """Let such requests wait until the end of the block."""
        return self.trouble.holding(self._loop, verb=verb, plural=plural)

    def call(self, work: Callable[[], T]) -> T:
        """Do something in the server's own thread."""

        async def call() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        proxy = ServiceProxy(self._store, self._addresses, self._node.processes)
        self._node.look = proxy.look
        scheduler = Scheduler(self._node)
        for part in (scheduler, Collector(self._store), Keeper(self._store), proxy):
            self._store.listen(part.hear)
        default = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "default"}}
        self._store.create(NAMESPACES, "", {**default, "spec": {}, "status": {"phase": "Active"}})
        parts = Parts(
            store=self._store,
            node=self._node,
            addresses=self._addresses,
            rights=self._rights,
            watches=self._watches,
            trouble=self.trouble,
        )
        runner = web.AppRunner(Api(parts).app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._write(runner.addresses[0][1])
        leading = asyncio.create_task(proxy.run())
        leading.add_done_callback(raise_failure)
        self._started.set()
        await self._ended.wait()
        leading.cancel()
        scheduler.close()
        proxy.close()
        self._addresses.close()
        await runner.cleanup()
        # transports that were broken off close in the loop's next round
        await asyncio.sleep(0)

    def _write(self, port: int) -> None:
        """Write the kubeconfig of the administrator."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "double",
            "clusters": [{"name": "double", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "admin", "user": {"token": self._rights.token}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "admin"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))
