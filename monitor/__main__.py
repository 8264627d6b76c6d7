"""`python -m monitor` is `leewayd`."""

from monitor.cli import main

main()
