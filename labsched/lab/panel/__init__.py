"""The live panel: a world that people watch and hurt while it runs.

    script.py     what was asked of the world, as steps, and as the code equal to the clicks
    replayable.py a Simulation that can be stepped, sought and branched; virtual time only, no thread
    tally.py      events folded into what a row shows, and made compact for the browser
    words.py      states and events in words
    session.py    what every session does: an inbox, a thread, messages to whoever listens
    simulated.py  a session over a Simulation       real.py  the same over a ProcessCluster
    widget.py     `control(world)`, the Panel       panel.js, panel.css  how it looks

No widget outside of widget.py; no clock outside of session.py, simulated.py and real.py.
"""
