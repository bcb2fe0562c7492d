"""Every figure of the book: tables and arrays in, `matplotlib.figure.Figure` out."""
