"""The ``ccarchiver`` command: what an operator asks at 3 a.m., answered from Redis alone; the doctor looks everywhere."""
