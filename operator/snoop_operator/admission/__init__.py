"""Decides which pods get the sidecar, and how.

All pure but two: `webhook` answers the API server, `certificates` reloads a TLS context. Nothing here calls the API.
"""
