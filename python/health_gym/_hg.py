"""The program ``hg``, as the wheel brings it."""

import sys

from health_gym import _native


def main() -> None:
    """Run ``hg`` with this process's arguments."""
    sys.stdout.flush()
    sys.exit(_native.run_hg(["hg", *sys.argv[1:]]))
