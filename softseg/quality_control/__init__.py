"""Pictures to check masks by eye, of any masks over any images, and what to leave out next time."""
