"""What travels between the rooms: events, findings, settings, errors. Imports nothing of ours."""
