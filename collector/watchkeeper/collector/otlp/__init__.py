"""The OpenTelemetry protocol over HTTP: its messages, in protobuf and JSON."""
