"""What the chapters share and what is too long for a cell: the analysis on top of `softseg`.

Not part of the package that `pip install softseg` gives; `make env` installs it beside that.
"""
