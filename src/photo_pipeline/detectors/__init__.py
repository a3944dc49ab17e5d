"""The detectors: one module each, from a picture to facts by a trained model."""
