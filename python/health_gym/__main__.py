"""``python -m health_gym`` is the program ``hg``."""

from health_gym._hg import main

main()
