"""`metatalk fit`: the reconstructor alone."""
