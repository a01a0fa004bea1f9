"""
Settings and fixtures of all tests.
"""

import gc
import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers.fixtures"]

# No deadline: on a busy machine any example can take longer than the default of Hypothesis.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# The configuration of whoever runs the tests must not decide where their requests go, or what they trust.
for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]
os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def pytest_collection_finish() -> None:
    """
    Exclude the tests themselves from garbage collection: there are so many that each full collection took a second.
    """
    gc.collect()
    gc.freeze()
