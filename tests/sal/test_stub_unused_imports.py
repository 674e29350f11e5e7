"""The CSC stubs what salobj imports for object stores. Other imports get the real libraries."""

from __future__ import annotations

import sys

import pytest

from ccarchiver_sim import pace

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
    raise AssertionError("salobj has an object store")
import boto3
assert boto3.Session
"""


def test_object_store_is_stubbed_for_salobj_and_not_for_other_imports() -> None:
    done = pace.run([sys.executable, "-c", PROGRAM], LIMIT_S, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
