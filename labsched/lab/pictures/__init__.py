"""How a recording becomes a picture: facts to bars, bars to lanes, lanes to ink, and words for who cannot see it.

timeline.py    who ran what when         bars.py what is to be drawn, as plain values   layout.py where it goes
spacetime.py   messages between whom     sends.py which messages   spaces.py lanes, leases, signs
    causal.py what happened before what    interactive.py the same picture as a widget
metrics.py     numbers over time         series.py rates, quantiles, levels
sweeps.py      what a setting changes    points.py shares, medians, intervals
lattices.py    every order of two clients    orders.py paths through the grid
beliefs.py, deliveries.py, loads.py, overlays.py, slots.py, states.py, verdicts.py    pictures of single notebooks

brush.py strokes   ink.py colours, hatches, signs   legend.py explains them   page.py headline and axis
words.py titles, stories and alternative text

A picture's `.data` is made from the plain values, before anything is drawn.
"""
