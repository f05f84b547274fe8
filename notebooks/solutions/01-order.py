order = ["backup", "alert", "report", "mail", "index"]
