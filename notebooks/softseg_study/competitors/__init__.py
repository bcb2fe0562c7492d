"""Other methods on the same images: each leaves masks in `derivatives/<method>`, no more."""
