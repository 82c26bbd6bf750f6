"""The evidence format that agent, operator and command line share.

Standard library only, no I/O: what a report holds (`model`), how it reads as JSON (`codec`), how paths are written
(`paths`), and how two reports become one (`merge`).
"""
