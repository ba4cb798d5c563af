"""Robinhood's Agentic Trading channel, locally: its tools over the official SDK's server, and the login before them."""

from quaestor.doors.sim.robinhood_agentic.book import AGENTIC, BROKERAGE, Book, Knobs
from quaestor.doors.sim.robinhood_agentic.issuer import Issuer
from quaestor.doors.sim.robinhood_agentic.server import PATH, RobinhoodAgenticServer

__all__ = ["AGENTIC", "BROKERAGE", "PATH", "Book", "Issuer", "Knobs", "RobinhoodAgenticServer"]
