"""Turning a body into what a model can read. Runs in a worker process; imports nothing of the server."""
