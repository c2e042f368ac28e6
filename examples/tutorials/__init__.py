"""Small synthetic data for the tutorials, with planted tastes (docs/tutorials)."""
