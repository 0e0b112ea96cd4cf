"""`metatalk render`: pictures of coefficients."""
