"""The stateless era (2026-07-28), for children that speak it and for children that do not."""
