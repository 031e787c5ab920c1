"""How a version came to be, for those who check supply chains: SLSA provenance."""
