"""What every test has: settings of hypothesis, and the development cluster for those that ask for it."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.cluster_fixture", "tests.servers_fixture"]

# The machine that runs the tests may be busy: a slow example is no failure. The default run is repeatable; the soak run seeks.
settings.register_profile(
    "default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "soak", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("soak" if os.environ.get("VINOSERVE_SOAK") else "default")
