# ruff: noqa: T201 (the test reads what this prints)
"""Does to an `End` what the lines on its input say, and prints the results: all JSON."""

import json
import os
import sys
from pathlib import Path

from tests.middleware.end import End

depth = os.environ.get("TEST_DEPTH")
end = End(Path(sys.argv[1]), None if depth is None else int(depth))
print("ready")
for line in sys.stdin:
    method, *arguments = json.loads(line)
    print(json.dumps(getattr(end, method)(*arguments)))
end.close()
