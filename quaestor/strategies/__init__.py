"""Strategies: what a person believes about prices, one file each. `base` says what a strategy is."""
