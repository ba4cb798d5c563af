"""Quaestor trades, keeps the books, and can say why. This package imports no Prefect."""

__version__ = "0.1.0"
