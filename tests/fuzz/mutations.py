"""Generators of broken messages: mutated real ones, random YAML, random bytes."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL: tuple[dict[str, object], ...] = (
    {
        "MSG_TYPE": "ASSOCIATED_ACK",
        "ASSOCIATION_KEY": "f99_association",
        "ACK_ID": "2026-11-22_08:18:37.932650_2",
    },
    {
        "MSG_TYPE": "NEW_CC_ARCHIVE_ITEM_ACK",
        "TARGET_DIR": "/data/staging/2026-11-22/",
        "ACK_ID": "s_3",
        "JOB_NUM": 1,
        "IMAGE_ID": "CC_O_20261122_000001",
        "COMPONENT": "ARCHIVE_CTRL",
        "ACK_BOOL": "TRUE",
        "SESSION_ID": "s",
    },
    {
        "MSG_TYPE": "CC_FWDR_XFER_PARAMS_ACK",
        "IMAGE_ID": "CC_O_1",
        "COMPONENT": "127.0.0.1:f99",
        "ACK_ID": "s_4",
    },
    {
        "MSG_TYPE": "ARCHIVE_HEALTH_CHECK_ACK",
        "COMPONENT": "c",
        "ACK_BOOL": "TRUE",
        "ACK_ID": "s_9",
        "SESSION_ID": "s",
    },
    {
        "MSG_TYPE": "IMAGE_RETRIEVAL_FOR_ARCHIVING",
        "OBSID": "CC_O_1",
        "RAFT": "22",
        "SENSOR": "S00",
        "FILENAME": "CC_O_1-R22S00.fits",
        "STATUS_CODE": 0,
        "DESCRIPTION": "ok",
    },
    {
        "MSG_TYPE": "IMAGE_IN_OODS",
        "CAMERA": "COMCAM",
        "ARCHIVER": "CCArchiver",
        "OBSID": "CC_O_1",
        "FILENAME": "/data/CC_O_1-R22S00.fits",
        "STATUS_CODE": 5611,
        "DESCRIPTION": "bad",
    },
)

YAML_SIGNS = "{}[]:,-?&*!|>'\"%@`# \n\t~<=.0aZ\\"


def bodies(count: int, seed: int) -> Iterator[bytes]:
    """Yield ``count`` bodies, most of them invalid. The same seed yields the same bodies."""
    chance = random.Random(seed)  # noqa: S311  no secret depends on it
    makers = (_damaged, _damaged, _odd_values, _random_yaml, _random_bytes)
    for _ in range(count):
        yield chance.choice(makers)(chance)


def _damaged(chance: random.Random) -> bytes:
    flow = chance.random() < 0.5
    body = yaml.dump(chance.choice(REAL), Dumper=yaml.CSafeDumper, default_flow_style=flow).encode()
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(body) + 1)
        body = (
            body[:at] + chance.randbytes(chance.randint(0, 3)) + body[at + chance.randint(0, 5) :]
        )
    return body


def _odd_values(chance: random.Random) -> bytes:
    fields = dict(chance.choice(REAL))
    for name in chance.sample(sorted(fields), k=chance.randint(1, 2)):
        odd = [
            None,
            [],
            {},
            -(2**40),
            1e400,
            "",
            "x" * 500,
            [[1]],
            {"a": 1},
            "\u2028é☃",
            "0x10",
            "~",
            True,
        ]
        fields[name] = chance.choice(odd)
    return yaml.dump(fields, Dumper=yaml.CSafeDumper, allow_unicode=True).encode()


def _random_yaml(chance: random.Random) -> bytes:
    signs = YAML_SIGNS + string.ascii_letters
    return "".join(chance.choice(signs) for _ in range(chance.randint(0, 80))).encode()


def _random_bytes(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randint(0, 200))
