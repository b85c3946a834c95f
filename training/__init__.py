"""Floor 3, the data scientists' wing: from labelled measurements to a promoted bundle."""
