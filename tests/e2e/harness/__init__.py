"""What the end-to-end tests stand on: processes, backends, emitters and one comparable form of a span."""
