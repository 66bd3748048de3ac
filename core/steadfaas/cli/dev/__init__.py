"""`steadfaas dev`: on every save a new version beside the old one, which stays until it is drained.

A *version* is a snapshot: a copy of the watched folders, kept under the hash of what it holds, and
a process that runs inside that copy. So a module which an old version imports late is still the old
one, content that was there before is the version that was there before, and a save that changes
nothing starts nothing.

What has to outlive this command stands in two places. The engine knows the deployments, by whose
metadata their versions are found again; the folder `.steadfaas/dev/NAME` holds the snapshots. Each
change is made in an order that leaves both fit for the next start, wherever a kill falls:

    taken        copied beside its place, then renamed into it; the rest of a copy is swept
    registered   marked as offered, registered, marked as such; what another engine may know is not
                 swept
    retired      marked, record removed, process ended, snapshot removed; what has the mark and no
                 record is swept

A version that is not drained and has no process gets one, at its old port or, if that is taken, at
another one to which its deployment is moved. This one rule restores what slept over night, and what
crashed a moment ago.
"""
