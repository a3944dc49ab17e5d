"""Webhooks: signed calls to other people's servers, and to nobody's private network."""
