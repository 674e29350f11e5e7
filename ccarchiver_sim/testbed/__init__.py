"""The testbed: private brokers, supervised workers, simulated peers and a SAL client.

The demo, the integration tests and the campaigns use it. Import from the modules; begin with
`ccarchiver_sim.testbed.rig`.
"""
