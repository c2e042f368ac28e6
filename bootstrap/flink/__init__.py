"""A Flink cluster of this machine with Beam's job server and Python workers, all on loopback: `make flink-up`."""
