"""The API of vinoserve: what users and admins write, and what operator and runtime tell each other."""

import os

os.environ.setdefault(
    "PYDANTIC_DISABLE_PLUGINS", "__all__"
)  # it would look for them in every installed package
