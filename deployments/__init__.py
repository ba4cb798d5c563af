"""Addresses: where it runs. No logic."""
