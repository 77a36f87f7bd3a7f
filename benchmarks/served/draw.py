"""Turns Vega-Lite specifications (JSON on stdin: name to specification) into NAME.svg in a folder."""

import json
import sys
from pathlib import Path

import vl_convert

for name, spec in json.load(sys.stdin).items():
    Path(sys.argv[1], f"{name}.svg").write_text(vl_convert.vegalite_to_svg(spec) + "\n")
