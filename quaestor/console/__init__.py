"""The face: what a person types and reads."""
