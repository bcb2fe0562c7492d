"""What one chapter does with digital spinal cords: published figures, visits, follow-up."""
