"""Where registrations and tokens are kept."""
