"""A delayed image counts for the last fault that can have delayed it."""

from __future__ import annotations

from ccarchiver_sim.night.recovery import FaultRecord, attribute_delays
from tests.faults.test_oracle import IMAGE, oracle_with, put_all, report_all

EARLY = ("early", 5.0, 6.0, 30.0)
LATE = ("late", 11.0, 12.0, 30.0)


def test_delay_counts_for_the_last_fault_before_the_delivery() -> None:
    oracle = oracle_with()
    put_all(oracle, at=10.0)
    report_all(oracle, at=15.0)
    early, late = FaultRecord(*EARLY), FaultRecord(*LATE)
    assert attribute_delays(oracle, 1, [late, early]) == 0
    assert (early.delayed, late.delayed, late.recovery_s) == (0, 1, 3.0)


def test_image_from_after_the_fault_counts_while_others_are_outstanding() -> None:
    oracle = oracle_with()
    put_all(oracle, at=20.0)
    report_all(oracle, at=25.0)
    fault = FaultRecord(*EARLY)
    assert attribute_delays(oracle, 1, [fault]) == 0
    assert (fault.delayed, fault.recovery_s) == (1, 19.0)


def test_late_image_without_a_fault_is_counted_apart() -> None:
    oracle = oracle_with()
    put_all(oracle, at=40.0)
    report_all(oracle, at=45.0)
    fault = FaultRecord(*EARLY)
    assert attribute_delays(oracle, 1, [fault]) == 1
    assert fault.delayed == 0


def test_image_in_time_counts_for_none() -> None:
    oracle = oracle_with()
    put_all(oracle, at=10.0, image=IMAGE)
    report_all(oracle, at=10.5)
    fault = FaultRecord(*EARLY)
    assert attribute_delays(oracle, 1, [fault]) == 0
    assert fault.delayed == 0
