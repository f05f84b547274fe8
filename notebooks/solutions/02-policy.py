from labsched import misfire

policies = {
    "invoices": {"misfire": misfire("FIRE_ALL"), "overlap": "ALLOW"},
    "warm-up": {"misfire": misfire("FIRE_ONCE"), "overlap": "SKIP"},
    "reminder": {"misfire": misfire("SKIP", grace="2s")},
    "forecast": {"overlap": "CANCEL_OTHER"},
}
