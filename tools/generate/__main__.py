"""`python -m tools.generate [--check]`: write the generated files, or say which are stale."""

import argparse
import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.generate", description="Write the generated files."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is stale")
    check = parser.parse_args().check
    from tools.generate.files import make_files  # noqa: PLC0415 - the models take a moment

    stale = {path: text for path, text in make_files().items() if _read(ROOT / path) != text}
    for path, text in stale.items():
        if check:
            print(f"{path} is stale; run `make generate`")
            sys.stdout.writelines(
                list(difflib.unified_diff(_read(ROOT / path).splitlines(True), text.splitlines(True), n=1))[
                    :40
                ]
            )
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if check and stale else 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
