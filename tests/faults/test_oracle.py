"""The oracle finds missing and repeated events in a prepared record."""

from __future__ import annotations

from ccarchiver_sim.faults.oracle import Oracle
from ccarchiver_sim.faults.result import Fault, Result, judge, total
from ccarchiver_sim.faults.sal_source import END, HEADER, START, TOPICS
from ccarchiver_sim.testbed.sal_observer import INGESTED, RETRIEVED

CCDS = frozenset({("22", "S00"), ("22", "S01")})
IMAGE = "CC_O_20261122_000001"


def oracle_with(missing_files: int = 0) -> Oracle:
    oracle = Oracle(CCDS, lambda _obsid: missing_files)
    oracle.run = 1
    return oracle


def put_all(oracle: Oracle, *, enabled: bool = True, at: float = 10.0, image: str = IMAGE) -> None:
    for topic in TOPICS:
        oracle.put(topic, image, at, enabled=enabled)


def report(
    oracle: Oracle, topic: str, sensor: str, at: float, *, code: int = 0, image: str = IMAGE
) -> None:
    fields = {
        "camera": "COMCAM",
        "obsid": image,
        "raft": "22",
        "sensor": sensor,
        "archiverName": "CCArchiver",
        "statusCode": code,
        "description": "",
    }
    oracle.reported(topic, fields, at)


def report_all(oracle: Oracle, at: float = 11.0, image: str = IMAGE) -> None:
    for topic in (RETRIEVED, INGESTED):
        for _, sensor in CCDS:
            report(oracle, topic, sensor, at, image=image)


def verdict(oracle: Oracle, *faults: Fault) -> Result:
    return judge(oracle, 1, "doctored", faults)


def test_complete_image_is_delivered() -> None:
    oracle = oracle_with()
    put_all(oracle)
    report_all(oracle)
    result = verdict(oracle)
    assert (result.accepted, result.delivered, result.lost, result.duplicated) == (1, 1, 0, 0)
    assert result.passed


def test_missing_event_is_a_loss_and_is_named() -> None:
    oracle = oracle_with()
    put_all(oracle)
    report(oracle, RETRIEVED, "S00", 11.0)
    report(oracle, RETRIEVED, "S01", 11.0)
    report(oracle, INGESTED, "S00", 11.0)
    result = verdict(oracle)
    assert (result.delivered, result.lost) == (0, 1)
    assert IMAGE in result.failures[0]
    assert "imageInOODS 1/2" in result.failures[0]
    assert not result.passed


def test_a_missing_file_is_a_loss() -> None:
    oracle = oracle_with(missing_files=1)
    put_all(oracle)
    report_all(oracle)
    assert verdict(oracle).lost == 1


def test_bad_status_is_no_delivery_until_a_good_one_arrives() -> None:
    oracle = oracle_with()
    put_all(oracle)
    report_all(oracle)
    other = "CC_O_20261122_000002"
    put_all(oracle, image=other)
    for topic in (RETRIEVED, INGESTED):
        for _, sensor in CCDS:
            report(oracle, topic, sensor, 11.0, code=5612, image=other)
    assert verdict(oracle).lost == 1
    report_all(oracle, image=other)
    assert verdict(oracle).lost == 0


def test_a_repeated_event_is_counted_and_is_no_loss() -> None:
    oracle = oracle_with()
    put_all(oracle)
    report_all(oracle)
    report(oracle, INGESTED, "S00", 12.0)
    report(oracle, INGESTED, "S00", 13.0)
    result = verdict(oracle)
    assert result.duplicated == 2
    assert result.passed


def test_image_put_while_not_enabled_is_not_accepted() -> None:
    oracle = oracle_with()
    put_all(oracle, enabled=False)
    assert verdict(oracle).accepted == 0


def test_image_put_while_not_enabled_must_be_delivered_by_the_catch_up() -> None:
    oracle = Oracle(CCDS, lambda _obsid: 0, has_catch_up=True)
    oracle.run = 1
    put_all(oracle, enabled=False)
    oracle.put(START, "CC_O_20261122_000002", 10.0, enabled=False)
    result = verdict(oracle)
    assert (result.accepted, result.lost) == (1, 1)
    report_all(oracle)
    assert verdict(oracle).lost == 0


def test_an_image_without_its_readout_is_not_accepted() -> None:
    oracle = oracle_with()
    oracle.put(START, IMAGE, 1.0, enabled=True)
    oracle.put(HEADER, IMAGE, 1.0, enabled=True)
    assert verdict(oracle).accepted == 0
    oracle.put(END, IMAGE, 1.0, enabled=True)
    assert verdict(oracle).accepted == 1


def test_image_put_just_before_enabled_ended_is_not_accepted() -> None:
    oracle = oracle_with()
    put_all(oracle, at=10.0)
    other = "CC_O_20261122_000002"
    put_all(oracle, at=-1000.0, image=other)
    oracle.left_enabled(10.2)
    assert [trace.obsid for trace in oracle.accepted(1)] == [other]


def test_recovery_time_counts_from_the_end_of_the_fault() -> None:
    oracle = oracle_with()
    put_all(oracle, at=10.0)
    report_all(oracle, at=17.0)
    result = verdict(oracle, Fault(began=9.0, ended=13.0))
    assert (result.recovered, result.slowest_recovery_s) == (1, 4.0)


def test_image_delivered_before_the_fault_ended_needs_no_recovery() -> None:
    oracle = oracle_with()
    put_all(oracle, at=10.0)
    report_all(oracle, at=10.5)
    result = verdict(oracle, Fault(began=9.0, ended=13.0))
    assert (result.recovered, result.slowest_recovery_s) == (0, 0.0)


def test_rejected_image_is_no_loss() -> None:
    oracle = oracle_with()
    put_all(oracle)
    oracle.record_rejected(IMAGE)
    result = verdict(oracle)
    assert (result.accepted, result.delivered, result.lost, result.dead_lettered) == (1, 0, 0, 1)
    assert result.passed


def test_images_are_judged_in_their_own_run() -> None:
    oracle = oracle_with()
    put_all(oracle)
    oracle.run = 2
    assert judge(oracle, 2, "doctored", []).accepted == 0
    assert verdict(oracle).lost == 1


def test_total_adds_up_the_results() -> None:
    oracle = oracle_with()
    put_all(oracle)
    one = verdict(oracle)
    whole = total([one, one])
    assert (whole.accepted, whole.lost) == (2, 2)
    assert not whole.passed


def test_image_in_progress_may_lack_the_statuses_of_a_deleted_queue() -> None:
    oracle = oracle_with()
    put_all(oracle, at=10.0)
    for _, sensor in CCDS:
        report(oracle, RETRIEVED, sensor, 11.0)
    oracle.record_deleted_queue(INGESTED, began=10.5, ended=10.6)
    result = verdict(oracle)
    assert (result.delivered, result.incomplete, result.lost) == (0, 1, 0)
    assert oracle.outstanding(1) == []
    report_all(oracle, at=12.0)
    result = verdict(oracle)
    assert (result.delivered, result.incomplete) == (1, 0)


def test_deleted_queue_explains_no_missing_event_of_another_topic() -> None:
    oracle = oracle_with()
    put_all(oracle, at=10.0)
    oracle.record_deleted_queue(INGESTED, began=10.5, ended=10.6)
    assert verdict(oracle).lost == 1


def test_deleted_queue_explains_no_missing_file() -> None:
    oracle = oracle_with(missing_files=1)
    put_all(oracle, at=10.0)
    for _, sensor in CCDS:
        report(oracle, RETRIEVED, sensor, 11.0)
    oracle.record_deleted_queue(INGESTED, began=10.5, ended=10.6)
    assert verdict(oracle).lost == 1


def test_image_from_after_the_queue_was_restored_must_be_complete() -> None:
    oracle = oracle_with()
    put_all(oracle, at=10.7)
    for _, sensor in CCDS:
        report(oracle, RETRIEVED, sensor, 11.0)
    oracle.record_deleted_queue(INGESTED, began=10.5, ended=10.6)
    assert verdict(oracle).lost == 1
