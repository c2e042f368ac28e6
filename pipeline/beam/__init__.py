"""Where Beam's jobs run: what each profile asks of Beam, its engines, and the workers that they start."""
