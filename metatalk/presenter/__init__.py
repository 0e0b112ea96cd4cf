"""The built-in synthetic presenter: footage of a person who does not exist, and the truth."""
