"""Communication between processes: RPC, the protocol of pushed rows, decoding of JSON."""
