"""The view of one night: what happened, as data, as a page of HTML and as CSV."""
