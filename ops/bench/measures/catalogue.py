"""What a user has, in a running installation: a catalogue, experiments with sessions, and containers."""

import json
import tempfile
from pathlib import Path

from measures.servers import USER, Client, Server

IMAGES, EXPERIMENTS, CONTAINERS = 20, 30, 3
_IMAGE = {"image": "bench:1", "protocol": "vnc", "cpu": "1", "memory": "2G", "hdd": "5G", "resource_type": "docker"}
_FILES = {
    "experiments": ("public_number,title,description,beamline_code,uid,gid", "{0},Tin,Cold,BL01,5001,5001"),
    "sessions": (
        "public_number,session_number,start_date,end_date,subject,body,data_set_path",
        "{0},S{0},2026-11-20,2026-11-23,Tin,Cold,{{}}",
    ),
    "members": ("public_number,userlogin", "{0}," + USER),
}


def fill(server: Server, client: Client) -> None:
    """Fill it in, for a signed-in user."""
    administrator = server.sign_in("admin")
    for number in range(IMAGES):
        administrator.ask("POST", f"/images/bench{number}/", json.dumps(_IMAGE))
    with tempfile.TemporaryDirectory() as folder:
        for kind, (head, line) in _FILES.items():
            file = Path(folder) / f"{kind}.csv"
            file.write_text("\n".join([head, *(line.format(f"B{number}") for number in range(EXPERIMENTS))]) + "\n")
            server.command(kind, "import", str(file))
    for number in range(CONTAINERS):
        client.ask("POST", f"/resource/run/{USER}/bench{number}/manual/")
