survives = {
    "wall clock": ["server jump"],
    "duration": ["offset", "jump", "drift", "server jump"],
    "server": ["offset", "jump", "drift"],
}
