"""The typer commands: options to one pipeline call, and the only place that prints."""
