"""Lambda on this machine: its control plane by boto3, its invocations by real processes."""
