"""Look again at everything a store holds: `photo-pipeline verify`."""
