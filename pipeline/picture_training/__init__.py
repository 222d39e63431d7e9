"""What trainings from labelled pictures share, whatever is true of a picture."""
