"""How the notebook server runs in a container of Calipso."""

import os
from pathlib import Path

Path.home().mkdir(parents=True, exist_ok=True)

c = get_config()  # noqa: F821 - Jupyter defines it
c.NotebookApp.ip = "0.0.0.0"  # noqa: S104 - of the container
c.NotebookApp.port = 8888
c.NotebookApp.port_retries = 0
c.NotebookApp.open_browser = False
c.NotebookApp.base_url = os.environ.get("CALIPSO_WEB_PREFIX", "/")
c.NotebookApp.token = Path("/run/secrets/vnc_password").read_text().strip()
c.NotebookApp.notebook_dir = os.getcwd() if os.getcwd() != "/" else str(Path.home())  # noqa: PTH109 - a string is wanted
# the name under which browsers see it is not its own
c.NotebookApp.allow_remote_access = True
c.NotebookApp.trust_xheaders = True
