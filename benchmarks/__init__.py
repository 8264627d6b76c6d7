"""Performance, measured by hand: `make bench`. Numbers are claims only if they come from here."""
