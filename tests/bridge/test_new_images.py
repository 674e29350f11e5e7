from __future__ import annotations

import pytest

from ccarchiver_bridge.new_images import NewImages
from ccarchiver_core.domain.exposure import EndReadout
from ccarchiver_core.domain.worker_messages import ExposureEventMessage

HANDLED = 7


def message(job: int, *, is_new_image: bool = True) -> ExposureEventMessage:
    event = EndReadout(image_name="i", image_index=0, images_in_sequence=1)
    return ExposureEventMessage(obsid="i", job=job, event=event, is_new_image=is_new_image)


def test_a_first_message_with_a_higher_job_number_is_of_a_new_image() -> None:
    assert NewImages(HANDLED).is_new(message(HANDLED + 1), is_first_delivery=True)


@pytest.mark.parametrize(
    ("received", "is_first_delivery"),
    [
        pytest.param(message(HANDLED + 1), False, id="it was delivered before"),
        pytest.param(
            message(HANDLED + 1, is_new_image=False), True, id="the ledger knew the image"
        ),
        pytest.param(message(HANDLED), True, id="the job was handled by an earlier process"),
    ],
)
def test_one_missing_condition_makes_an_image_not_certainly_new(
    received: ExposureEventMessage, *, is_first_delivery: bool
) -> None:
    assert not NewImages(HANDLED).is_new(received, is_first_delivery=is_first_delivery)


def test_a_job_that_was_added_is_not_new_any_more() -> None:
    images = NewImages(HANDLED)
    images.add(HANDLED + 3)
    images.add(HANDLED + 1)
    assert not images.is_new(message(HANDLED + 3), is_first_delivery=True)
    assert images.is_new(message(HANDLED + 4), is_first_delivery=True)
