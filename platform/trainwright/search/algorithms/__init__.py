"""What proposes the trials of a sweep."""
