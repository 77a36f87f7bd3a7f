"""`python -m tools.servers`: make what is missing of the servers that tests talk to."""

import sys

from tools.servers.autoscalers import build_autoscalers
from tools.servers.build import build_servers
from tools.toolbox.errors import run_main
from tools.toolbox.progress import say


def main() -> int:
    say(f"servers are in {build_servers().root}")
    say(f"autoscalers are in {build_autoscalers().root}")
    return 0


if __name__ == "__main__":
    sys.exit(run_main("servers", main))
