"""The loss proof: real processes and servers, photos through them, and everything killed."""
