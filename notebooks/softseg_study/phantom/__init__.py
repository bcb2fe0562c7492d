"""What one chapter does with digital spinal cords: published figures, and visits."""
