"""Measurements beside named peers: `python -m benchmarks WHAT`.

One module for each WHAT, with `measure() -> Report`. Adding one is adding a file and a line in `__main__`.
"""
