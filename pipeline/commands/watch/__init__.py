"""`kindred watch`: watches a published version on its server, and rolls it back if it breaks a bound."""
