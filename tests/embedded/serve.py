"""Serves a data folder until it is killed: `serve.py FOLDER` prints a line when its servers answer."""

import sys
import time
from pathlib import Path

from calipso.embedded import Embedded, EmbeddedError

embedded = Embedded(Path(sys.argv[1]))
try:
    embedded.start()
except EmbeddedError as error:
    sys.exit(str(error))
sys.stdout.write("ready\n")
sys.stdout.flush()
while True:
    time.sleep(60)
