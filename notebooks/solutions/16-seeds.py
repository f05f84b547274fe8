import math


def seeds_needed(share, sure):
    return math.ceil(math.log(1 - sure) / math.log(1 - share))
