"""`python -m monitor` is `leewayd`."""

from monitor.cli.main import main

main()
