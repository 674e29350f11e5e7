"""The simulated OODS: checks each linked file, enters it in a catalogue, sends its status."""
