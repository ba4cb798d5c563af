"""Latched stops by name: while one of them stands, no entry is made; only a person clears it (law 6)."""

HALT = "halt"  # a person said stop
FLATTEN = "flatten"  # and sell what is held
ENTRIES = "entries"  # books and broker disagree
