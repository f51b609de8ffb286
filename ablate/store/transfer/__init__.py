"""Databases on the move: private copies, exports and imports, and merging several into one."""
