"""
What every test can ask for.
"""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers.fixtures"]

# No test is timed: on a busy machine any example can take longer than Hypothesis allows for.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
