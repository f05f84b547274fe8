def believe_until(sent, replied, lease):
    """The lease began when the server got the request: not before it was sent. Later is a guess, earlier is safe."""
    return sent + 0.8 * lease
