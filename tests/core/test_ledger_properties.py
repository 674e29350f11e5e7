"""Properties of file status fields, checked against a plain list of the statuses."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.domain.image_record import ImageRecord, ImageState
from ccarchiver_core.store import file_status_fields as fields

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No deadline for an example: on a busy machine each one may take long."""

PARTS = st.text(alphabet="ab|\\ é", max_size=4)
"""Texts with the separator and its escape character."""

STATUSES = st.builds(
    FileStatus,
    topic=st.sampled_from(StatusTopic),
    camera=st.just("COMCAM"),
    archiver=st.just("CCArchiver"),
    obsid=st.just("i"),
    raft=PARTS,
    sensor=PARTS,
    filename=PARTS,
    status_code=st.sampled_from([0, 0, 5611]),
    description=st.sampled_from(["ok", "bad"]),
)


def key_of(status: FileStatus) -> tuple[str, str, str, str]:
    return (status.topic, status.raft, status.sensor, status.filename)


@patient
@given(STATUSES, STATUSES)
def test_two_statuses_share_a_field_only_if_they_are_of_the_same_file(
    one: FileStatus, other: FileStatus
) -> None:
    assert (fields.field_of(one) == fields.field_of(other)) is (key_of(one) == key_of(other))


@patient
@given(st.lists(STATUSES, max_size=20))
def test_good_ccds_are_those_whose_last_status_is_good(statuses: list[FileStatus]) -> None:
    record = {fields.field_of(status): fields.value_of(status, 1.5) for status in statuses}
    last = {key_of(status): status for status in statuses}
    for topic in StatusTopic:
        wanted = {
            status.ccd
            for status in last.values()
            if status.topic is topic and status.status_code == 0
        }
        assert (
            ImageRecord("i", ImageState.ACCEPTED, statuses=fields.statuses_of(record)).good_ccds(
                topic
            )
            == wanted
        )


@patient
@given(STATUSES)
def test_file_status_field_is_read_as_it_was_written(status: FileStatus) -> None:
    read = fields.read_field(fields.field_of(status), fields.value_of(status, 12.25))

    assert (read.topic, read.raft, read.sensor, read.filename) == key_of(status)
    assert (read.published_at, read.code, read.description) == (
        12.25,
        status.status_code,
        status.description,
    )
    assert read.ccd == status.ccd
