"""What several packages must read alike, one concept a file.

The source is `common/` of the repository. A package's `_common/` holds copies, so that it installs alone:
edit the source, then run `./justw sync`.
"""
