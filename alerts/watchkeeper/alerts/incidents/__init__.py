"""Findings and posted alerts become incidents, which people answer."""
