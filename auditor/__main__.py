"""`python -m auditor` is `auditor`."""

import os
import sys

# -m puts the working directory first: a yaml.py that lies beside an audit.yaml must not be imported.
if not sys.flags.safe_path and sys.path and sys.path[0] == os.getcwd():
    del sys.path[0]

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
