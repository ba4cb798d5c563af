"""The live runner: the one place where the engine's two halves meet; it drives the engine and performs its acts.

deck       the doors that it needs
account    the account as the books have it, for the engine
sessions   the day: its opening, its close, what comes between
acting     performing: orders out, everything else written down
runner     the process: feed, clock, books, remote control, heartbeat
"""
