"""How a recording becomes a picture: facts to bars, bars to lanes, lanes to ink, and words for who cannot see it.

    bars.py       what is to be drawn, as plain values; `.data` of a picture is made from these
    layout.py     where it goes: lanes, rows, the space for labels
    timeline.py   draws one     ink.py  colours, hatches, markers, badges     legend.py  explains them
    words.py      title and alternative text
"""
