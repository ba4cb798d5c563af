"""The live run's decisions, pure: events in, acts out.

events    what a run is told; a journal of them is its whole input
account   the account as the run knows it
acts      what follows
engine    the fold: one event after the other
strategy  what trades on bars and ticks as they come
"""
