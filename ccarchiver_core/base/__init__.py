"""Parts without knowledge of the archiver: errors, retries, clocks, tasks, failpoints."""
