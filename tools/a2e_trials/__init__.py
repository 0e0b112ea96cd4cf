"""Trials of the way from sound to mouth, on fitted footage and with the training of the product."""
