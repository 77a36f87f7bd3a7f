"""`vinoserve`: the one command. Each subcommand loads its package when it runs, and says what to install without it."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["serve"]:
        with _ending_when_told():
            return _run(arguments)
    return _run(arguments)


@contextmanager
def _ending_when_told() -> Iterator[None]:
    """A server that is told to end while it still imports has nothing to finish; as process 1 it would even never hear of it."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: os._exit(0)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _run(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    match options.command:
        case "validate":
            from vinoserve_cli.validate import validate

            return validate(options.files)
        case "render":
            from vinoserve_cli.render import render

            return render(options.files)
        case "serve":
            return _serve(options)
        case "fetch":
            from vinoserve_cli.serve import fetch

            return fetch(options.config)
        case "devices":
            from vinoserve_cli.devices import show_devices

            return show_devices(options.output)
        case "agent":
            return _run_agent(options)
        case _:
            from vinoserve_cli.extras import needs

            with needs("operator", "operator"):
                from vinoserve_operator import commands
            return commands.run()


def _serve(options: argparse.Namespace) -> int:
    from vinoserve_cli.serve import serve_config, serve_file

    listen = {
        "host": options.host,
        "http_port": options.http_port,
        "grpc_port": options.grpc_port,
        "admin_port": options.admin_port,
        "cache_dir": options.cache_dir,
    }
    if options.config:
        return serve_config(options.config, precompile=options.precompile, **listen)
    if options.precompile:
        print(
            "--precompile goes with --config: `serve FILE` compiles into its cache as it starts",
            file=sys.stderr,
        )
        return 2
    return serve_file(options.file, **listen)


def _run_agent(options: argparse.Namespace) -> int:
    from vinoserve_cli.extras import needs

    with needs("operator", "agent"):
        from vinoserve_operator.agent import commands
    if options.print:
        return commands.print_hardware(options.dev, options.sys)
    return commands.run_agent(options.node, options.dev, options.sys, options.interval)


class _Version(argparse.Action):
    """Looked up when it is asked for: that takes as long as half of a start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"vinoserve {version('vinoserve')}")
        parser.exit()


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    from vinoserve_api.contract import ADMIN_PORT, GRPC_PORT, HTTP_PORT

    parser = argparse.ArgumentParser(
        prog="vinoserve", description="Models on Intel GPUs, NPUs and CPUs, by OpenVINO."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="say which version this is")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    validate = commands.add_parser("validate", help="say what is wrong with manifests, a line a problem")
    validate.add_argument("files", nargs="+", metavar="FILE", help="YAML manifests; - is standard input")

    render = commands.add_parser("render", help="print what the operator would apply")
    render.add_argument(
        "files", nargs="+", metavar="FILE", help="InferenceServices, and AcceleratorClasses if any"
    )

    commands.add_parser("operator", help="run the operator against the current cluster")

    agent = commands.add_parser("agent", help="in a pod of each node: label the node with its accelerators")
    agent.add_argument("--node", help="the node to label, which is the one it runs on")
    agent.add_argument(
        "--dev", type=Path, default=Path("/dev"), help="where the node's /dev is (default: %(default)s)"
    )
    agent.add_argument(
        "--sys", type=Path, default=Path("/sys"), help="where the node's /sys is (default: %(default)s)"
    )
    agent.add_argument(
        "--interval", type=_seconds, default=15.0, help="seconds between two looks (default: %(default)g)"
    )
    agent.add_argument("--print", action="store_true", help="print what is found here, and label nothing")

    serve = commands.add_parser("serve", help="serve an InferenceService on this machine, without Kubernetes")
    what = serve.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "file", nargs="?", metavar="FILE", help="manifest with one InferenceService; - is stdin"
    )
    what.add_argument("--config", type=Path, help="in a pod: the RuntimeConfig that the operator wrote")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1; with --config: all)")
    serve.add_argument(
        "--http-port", type=_port, default=HTTP_PORT, help="default: %(default)s; 0: any free one"
    )
    serve.add_argument(
        "--grpc-port", type=_port, default=GRPC_PORT, help="default: %(default)s; 0: any free one"
    )
    serve.add_argument(
        "--admin-port", type=_port, default=ADMIN_PORT, help="probes, metrics, report (default: %(default)s)"
    )
    serve.add_argument(
        "--cache-dir",
        type=Path,
        help="folder for fetched and compiled models (default: ~/.cache/vinoserve; with --config: /cache, for compiled ones)",
    )

    serve.add_argument(
        "--precompile",
        action="store_true",
        help="in a pod: fill the cache of compiled models and end, instead of serving",
    )

    devices = commands.add_parser("devices", help="what OpenVINO sees here, and why it sees no GPU or NPU")
    devices.add_argument(
        "-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s"
    )

    fetch = commands.add_parser("fetch", help="in a pod: fetch and verify the model")
    fetch.add_argument("--config", type=Path, required=True, help="the RuntimeConfig that the operator wrote")
    return parser.parse_args(argv)


def _seconds(text: str) -> float:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write a number of seconds from 1 on")
    return float(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number up to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
