"""Which generator is useful: reference detectors trained on synthetic anomalies and tested on real ones."""
