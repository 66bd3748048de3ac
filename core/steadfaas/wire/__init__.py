"""The service protocol on the wire: frames, messages, versions, manifests. No input or output.

Nothing is loaded from here: take what you need from `frame`, `messages`, `codec`, `hot`, `version`.
"""
