"""`python -m edgesim` is the command `edgesim`."""

import sys

from edgesim.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
