"""What tables say, as sentences whose direction depends on the data."""
