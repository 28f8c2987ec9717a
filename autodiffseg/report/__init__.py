"""The report page: one HTML file about a comparison, which needs no network."""
