# Both look before either takes: that is all it needs, and four of the six orders have it.
order = "ABBA"
