"""The API of vinoserve: what users and admins write, and what operator and runtime tell each other."""
