"""Compiled loops: arrays and scalars in, arrays out. Serial and nogil; threads live outside."""
