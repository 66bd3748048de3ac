"""steadfaas: durable invocations, pinned to the version of the code that started them.

Importing this package loads nothing else, so that adapters and test runs stay cheap.
"""

__version__ = "0.1.0"
