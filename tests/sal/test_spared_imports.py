"""The CSC does without what salobj imports for object stores; everybody else in the process still has it."""

from __future__ import annotations

import sys

import pytest

from ccarchiver_sim import pace

pytestmark = pytest.mark.processes

pytestmark = pytest.mark.processes

LIMIT_S = 60.0
PROGRAM = """
import sys
from ccarchiver_sal import adapter
loaded = [name for name in ("boto3", "botocore", "moto") if name in sys.modules]
assert not loaded, loaded
try:
    adapter.salobj.AsyncS3Bucket("bucket", domock=True)
except ImportError as error:
    assert "without its object store" in str(error), error
else:
    raise AssertionError("somebody gave it an object store")
import boto3
assert boto3.Session
"""


def test_the_csc_has_no_object_store_and_others_have() -> None:
    done = pace.run([sys.executable, "-c", PROGRAM], LIMIT_S, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
