"""Takes events in: routes, one decoder a protocol, the inbox, the loader, the pollers."""
