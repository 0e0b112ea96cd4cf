"""`metatalk export`: coefficients for other programs."""
