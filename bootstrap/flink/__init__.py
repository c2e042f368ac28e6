"""A Flink cluster on this machine with the Beam job server and Python workers, all on loopback: `make flink-up`."""
