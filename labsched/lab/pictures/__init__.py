"""How a recording becomes a picture: facts to bars, bars to lanes, lanes to ink, and words for who cannot see it.

bars.py       what is to be drawn, as plain values; a picture's `.data` is made from these
layout.py     where it goes: lanes, rows, the space for labels
timeline.py   draws one   brush.py strokes   ink.py colours, hatches, signs   legend.py explains them
words.py      title and alternative text
"""
