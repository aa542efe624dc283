"""Engines: how a whole population is carried through the same functions that assess one patient."""
