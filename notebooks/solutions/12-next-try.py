def next_try(left, luck):
    return left + luck.uniform(0, 1)
