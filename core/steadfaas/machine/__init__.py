"""The life of an invocation as a pure state machine: events in, effects out.

Theory of operation
-------------------
An invocation is one request. Its memory is its *journal*: a single sequence of *commands* (what the
handler did) and *notifications* (what it was told), entry 0 being the input. Handler code keeps no
memory of its own between exchanges: each exchange carries the whole journal up, and the answer
carries new commands down.

A life goes through the states of `status.Status`. The only way to work is an *attempt*: one
exchange with the pinned deployment. An answer ends in one of three ways: End (the stored output
becomes the result), Suspension (the handler waits for notifications that it names), or a failure
(everything else). Frames that came before a failure stay: they are validated and take effect one by
one, in order, each together with its effect.

What can never happen:

* a frame takes effect before it was validated completely; a bad frame, and all after it, is
  dropped;
* an answer of an older attempt changes anything (`attempt` fences it);
* an attempt that stored nothing new is followed by another without a delay, so that no answer,
  however odd, makes the engine spin;
* a suspension is stored although what it waits for is already in the journal (it continues at
  once), or although nothing can ever end it (it is a failed attempt);
* a second completion for one completion id, or a completion for an id nobody issued.

Nothing here reads a clock, draws random numbers or touches the outside. Time and jitter are
arguments; whatever must happen outside is returned as an effect (`effects`), in the order in which
it must happen: store, then send, then wake.
"""
