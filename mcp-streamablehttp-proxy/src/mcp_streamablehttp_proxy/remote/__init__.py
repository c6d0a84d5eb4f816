"""Servers elsewhere, spoken with over HTTP as if they were processes that speak lines."""
