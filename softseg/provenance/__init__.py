"""Where each file comes from: written beside it, and checked later."""
