"""Several servers as one: a channel of 2026-07-28 with the channels of the servers behind it."""
