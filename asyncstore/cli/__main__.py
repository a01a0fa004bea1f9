"""
``python -m asyncstore.cli``.
"""

from asyncstore.cli import main

main()
