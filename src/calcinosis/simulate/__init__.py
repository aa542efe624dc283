"""Made-up populations for load and recovery tests, never for claims about medical accuracy."""

#R

__all__ = ["FORMATS", "Simulated", "simulate"]
