"""All scenarios by name."""

from ccarchiver_sim.campaign.scenario import Scenario
from ccarchiver_sim.campaign.scenarios import kills

SCENARIOS: dict[str, type[Scenario]] = {scenario.name: scenario for family in (kills,) for scenario in family.SCENARIOS}
"""In the order in which a campaign runs them."""
