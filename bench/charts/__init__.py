"""Pictures of results, as SVG: what a page in pages/ shows beside its tables."""
