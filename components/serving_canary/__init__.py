"""ServingCanary: a candidate is served and asked before it is published."""
