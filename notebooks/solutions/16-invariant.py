def broken(lines):
    token, until = 0, float("-inf")
    for line in lines:
        if line["kind"] == "acquired":
            if line["at"] < until:
                return line  # somebody's time was not over
        elif line["token"] != token or line["at"] >= until:
            return line  # not its own, or not its own any more
        token = None if line["kind"] == "released" else line["token"]
        until = line["until"]
    return None
