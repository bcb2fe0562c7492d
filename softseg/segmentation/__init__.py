"""Image in, soft mask on the image's own grid out."""
