"""Addresses: where Quaestor runs, and how it is registered there."""
