"""ServingCanary: serves and tests a candidate before it is published."""
