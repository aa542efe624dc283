"""Made-up populations for load and recovery tests, never for claims about medical accuracy."""

from calcinosis.simulate.run import FORMATS, Simulated, simulate

__all__ = ["FORMATS", "Simulated", "simulate"]
