"""Training of sentence encoders in stages."""
