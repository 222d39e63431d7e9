"""Networks in files of anyone's: the TOML that describes one, and what of a file is opened."""
