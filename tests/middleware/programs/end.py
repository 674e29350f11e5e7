# ruff: noqa: T201 (the test reads what this prints)
"""Opens an `End`, calls the methods named on its input and prints the results, all as JSON."""

import json
import os
import sys
from pathlib import Path

from tests.middleware.end import End
from tests.middleware.process import OF_THE_BUS

IDL = Path(sys.argv[1])


def opened(bus: dict[str, str], depth: int | None) -> End:
    for name in [name for name in os.environ if name.startswith(OF_THE_BUS)]:
        del os.environ[name]
    os.environ.update(bus)
    return End(IDL, depth)


end: End | None = None
print("ready")
for line in sys.stdin:
    method, *arguments = json.loads(line)
    if method == "open":
        end = opened(*arguments)
        answer = None
    else:
        answer = getattr(end, method)(*arguments)
    print(json.dumps(answer))
if end is not None:
    end.close()
