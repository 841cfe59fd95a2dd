"""`python -m mmh_rs`: the same as the command `mmh`."""

import sys

from .cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
