"""The archiver's messages, literally as on the wire; only image names and paths are filled in."""

from __future__ import annotations

SESSION = "2026-11-22_08:18:37.932650"
IMAGE = "CC_O_20261122_735514"
REPLIES = "cc_foreman_ack_publish"
SENSORS = ("S00", "S01", "S02", "S10", "S11", "S12", "S20", "S21", "S22")

ASSOCIATED = f"""\
ACK_ID: {SESSION}_2
ASSOCIATION_KEY: ccarchiver_association
MSG_TYPE: ASSOCIATED
REPLY_QUEUE: {REPLIES}
"""

SCAN_KEY = "scan_1"

SCAN = f"""\
KEY: {SCAN_KEY}
MINUTES: 10
MSG_TYPE: SCAN
REPLY_QUEUE: {REPLIES}
"""

ARCHIVE_HEALTH_CHECK = f"""\
ACK_ID: {SESSION}_1
MSG_TYPE: ARCHIVE_HEALTH_CHECK
REPLY_QUEUE: some_other_queue
SESSION_ID: {SESSION}
"""


def new_item(image: str = IMAGE) -> str:
    return f"""\
ACK_ID: {SESSION}_3
IMAGE_ID: {image}
JOB_NUM: 1
MSG_TYPE: NEW_CC_ARCHIVE_ITEM
REPLY_QUEUE: {REPLIES}
SESSION_ID: {SESSION}
exposureTime: 1.0
imageDate: '20261122'
imageIndex: 0
imageName: {image}
imagesInSequence: 1
"""


def xfer_params(target_dir: str, image: str = IMAGE) -> str:
    return f"""\
ACK_ID: {SESSION}_4
DEVICE: CC
IMAGE_ID: {image}
JOB_NUM: 1
MSG_TYPE: CC_FWDR_XFER_PARAMS
REPLY_QUEUE: {REPLIES}
SESSION_ID: {SESSION}
TARGET_LOCATION: ARC@127.0.0.1:{target_dir}
XFER_PARAMS:
  AT_FWDR: fakefwd
  RAFT_CCD_LIST:
  - 22/0
  - 22/1
  - 22/2
  RAFT_LIST: '22'
"""


def end_readout(image: str = IMAGE) -> str:
    return f"""\
ACK_ID: {SESSION}_5
IMAGES_IN_SEQUENCE: 1
IMAGE_ID: {image}
IMAGE_INDEX: 0
JOB_NUM: 1
MSG_TYPE: CC_FWDR_END_READOUT
REPLY_QUEUE: {REPLIES}
SESSION_ID: {SESSION}
"""


def header_ready(url: str, image: str = IMAGE) -> str:
    return f"""\
ACK_ID: {SESSION}_6
FILENAME: {url}
IMAGE_ID: {image}
MSG_TYPE: CC_FWDR_HEADER_READY
REPLY_QUEUE: {REPLIES}
"""


def file_transferred(filename: str, image: str = IMAGE, sensor: str = "S00") -> str:
    return (
        f'{{"MSG_TYPE": "FILE_TRANSFER_COMPLETED", "FILENAME": "{filename}", '
        f'"OBSID": "{image}", "RAFT": "22", "SENSOR": "{sensor}", '
        f'"SESSION_ID": "{SESSION}", "JOB_NUM": "1", "REPLY_QUEUE": "f99_consume"}}'
    )


def ingest_request(filename: str, image: str = IMAGE, sensor: str = "S00") -> str:
    return f"""\
ARCHIVER: CCArchiver
CAMERA: COMCAM
FILENAME: {filename}
MSG_TYPE: CC_FILE_INGEST_REQUEST
OBSID: {image}
RAFT: '22'
SENSOR: {sensor}
"""


HEADER_FILE = """\
PRIMARY:
- {keyword: EXPTIME, value: 1.0, comment: exposure time in seconds}
- {keyword: FILTER, value: r_03, comment: null}
"""


def header_file(image: str) -> str:
    """Return a header file from which the exposure can be registered in a Butler repository."""
    _, controller, day, number = image.split("_")
    return f"""\
{HEADER_FILE}\
- {{keyword: DAYOBS, value: '{day}', comment: observing day}}
- {{keyword: SEQNUM, value: {int(number)}, comment: number of the image on that day}}
- {{keyword: CONTRLLR, value: {controller}, comment: who controlled the camera}}
- {{keyword: DATE-BEG, value: '2026-11-22T23:00:00.000', comment: start of the exposure}}
- {{keyword: DATE-END, value: '2026-11-22T23:00:01.000', comment: end of the readout}}
"""
