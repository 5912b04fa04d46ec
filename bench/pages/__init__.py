"""What makes the tables of docs/ and README.md from results, a module a page; doc_tables.py writes them."""
