"""The simulated OODS: opens each linked file, enters it in a catalogue, reports what became of it."""
