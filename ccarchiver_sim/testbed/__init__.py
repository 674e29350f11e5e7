"""The whole archiver on one machine: private brokers, supervised workers, simulated peers, and a client on SAL.

What the demo, the integration tests and campaigns share; import from the modules, `ccarchiver_sim.testbed.rig` first.
"""
