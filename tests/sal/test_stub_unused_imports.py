"""The CSC stubs what salobj imports and it does not use. Other imports get the real libraries."""

from __future__ import annotations

import sys

import pytest

from ccarchiver_sim import pace

pytestmark = pytest.mark.processes

LIMIT_S = 60.0
OBJECT_STORE = """
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


NUMBERS = """
import sys
import lsst.ts.utils
needed = {name for name in ("astropy", "numpy") if name in sys.modules}
import ccarchiver_sal.main
loaded = {name for name in ("astropy", "numpy", "rich", "greenlet") if name in sys.modules}
assert loaded == needed, loaded
from ccarchiver_sal import adapter
date = adapter.salobj.async_s3_bucket.astropy.time.Time(0, scale="tai", format="unix_tai")
assert date.isot.startswith("1970"), date
assert adapter.salobj.angle_diff(350, 10).deg == -20
import numpy
assert numpy.uint8(255) == 255
assert adapter.salobj.testcsc.np.uint8 is numpy.uint8
"""


@pytest.mark.parametrize("program", [OBJECT_STORE, NUMBERS], ids=["object-store", "numbers"])
def test_stubbed_for_salobj_and_not_for_other_imports(program: str) -> None:
    done = pace.run([sys.executable, "-c", program], LIMIT_S, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
